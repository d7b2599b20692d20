"""What will be frozen: its summary, its limits, and the freezing itself.

Filters and options come in; a summary, or a collection's items and fingerprint, go out. It may call
storage, models, the archive's rules for names, and the catalog.
"""
