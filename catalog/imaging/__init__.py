"""From a file to what is known and seen of it.

A path or an open file comes in; facts, arrays and pictures go out. It knows no model and no Django,
and calls nothing else of the catalog but ``catalog.limits``.

pydicom, nibabel and Pillow make up a third of a start. Where every process comes along, only
``paths``, ``problems``, ``preview``, ``decoding.decoder`` and ``dicom.confidentiality`` are
imported at the top of a module, for they do without.
"""
