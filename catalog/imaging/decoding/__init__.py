"""Decodes pictures in processes that may be neither large, nor slow, nor dangerous to others.

An open file comes in; a preview or the reason why there is none goes out. Every decoder (Pillow,
pydicom, pylibjpeg, GDCM, nibabel) runs here: many are written in C, and a file may be made to let
one of them take all memory, never end, or crash. It may call the rest of ``catalog.imaging``.
"""
