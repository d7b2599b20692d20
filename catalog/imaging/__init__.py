"""From a file to what is known and seen of it.

A path or an open file comes in; facts, arrays and pictures go out. It knows no model and no Django,
and calls nothing else of the catalog but ``catalog.limits``.
"""
