"""The texts in an archive: data card, tables, licences, collection.json.

A frozen collection comes in; texts, the same at every build, go out. It may call selection,
storage, models and the archive.
"""
