"""Pages of the catalog: home, datasets, images and their files, vocabularies. All read-only.

A request comes in; a page, a part of one for htmx, or a file goes out. They may call the rest of
the catalog, and write nothing.
"""
