"""The keys of ``Dataset.imported_json`` beside the fields of the entry that was last imported."""

# The description from which it was imported.
IMPORTED_FROM = "imported_from"
# The data release of the Imaging Data Commons that addresses of its images are of.
IDC_RELEASE = "idc_release"
# How many of its images have the same bytes as another, here or in which other dataset.
SAME_BYTES = "same_bytes"
# How many of its files tell who somebody is, and by which attributes.
IDENTIFYING = "identifying"
# Its relations that the catalog's own file has added, also those that a curator has removed since.
RELATIONS = "relations"
