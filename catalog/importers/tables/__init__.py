"""Sources that describe their images in tables: CSV, TSV, Parquet, JSON lines.

A description and its tables come in; image rows and bad rows go out. It may call the rest of the
importers.
"""
