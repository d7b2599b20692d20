"""Selecting images: summary, limits, and freezing them into a collection.

Filters and options come in; a summary goes out, or a collection's items and fingerprint. It may
call storage, models, the archive's rules for names, and the catalog.
"""
