"""What the endings of names promise; what a file is, its bytes say."""

# fmt: off
PICTURE_SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".webp",
    ".avif", ".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf",
})
DICOM_SUFFIXES = (".dcm", ".dicom")
NIFTI_SUFFIXES = (".nii", ".nii.gz")
# Whole slides as scanners write them, volumes and arrays of research, films, tables and pages.
_OTHER_SUFFIXES = frozenset({
    ".svs", ".ndpi", ".ndpis", ".scn", ".mrxs", ".bif", ".vms", ".vmu", ".svslide", ".czi", ".vsi",
    ".isyntax", ".qptiff", ".hdr", ".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".mgh", ".mnc", ".npy",
    ".npz", ".heic", ".lif", ".nd2", ".mrc", ".edf", ".wav", ".mpg", ".xlsx",
    ".h5", ".hdf5", ".mat", ".zarr", ".mp4", ".avi", ".mov", ".mkv", ".webm", ".svg",
    ".stl", ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".txt", ".md", ".xml", ".html", ".htm",
    ".pdf",
})
# fmt: on
# Nobody names DICOM so. It has many other names than its own: `.IMA`, `.v1`, none at all.
NO_DICOM_SUFFIXES = PICTURE_SUFFIXES | {*NIFTI_SUFFIXES} | _OTHER_SUFFIXES
