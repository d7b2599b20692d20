"""From a query string to counts, pages and cards of datasets and images.

A QueryDict and the catalog's snapshot come in; facets, pages and suggestions go out. It may call
models, querysets and ``vocab``, and nothing that writes.
"""
