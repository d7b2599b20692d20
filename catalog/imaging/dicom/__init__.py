"""DICOM: the facts of a header, and one frame as a picture.

An open file comes in; facts and arrays of grey or colour go out. It may call the rest of
``catalog.imaging``.
"""
