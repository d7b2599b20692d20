"""Sources without a table: DICOM files, NIfTI volumes, pictures sorted into folders.

A folder comes in; image rows and bad rows go out. It may call the rest of the importers and
``catalog.imaging``.
"""
