"""Building and auditing image profiles, the small table that facets are counted from.

Ids of images or datasets come in; rows of profiles, or errors found in them, go out. It may call
models and querysets.
"""
