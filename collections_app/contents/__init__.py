"""The texts in an archive: data card, tables, licences, collection.json.

A frozen collection comes in; texts go out, the same at every build. It may call selection,
storage, models and the archive.
"""
