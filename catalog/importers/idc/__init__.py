"""The Imaging Data Commons, read from its published index.

The index comes in; one source for each of its collections goes out. It may call the rest of the
importers.
"""
