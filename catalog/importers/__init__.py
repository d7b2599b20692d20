"""From a source's tables, folders or index to datasets and images in the catalog.

Rows come in from a source; datasets, images, labels and a report go out. It may call services,
profiles, search, files, models and ``vocab``.
"""
