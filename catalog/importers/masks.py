"""Tells masks and other annotations from pictures of patients, by names of folders, files, columns.

The one list of such names, for tables and for folders of any kind.
"""

import re
from functools import lru_cache

# Folders; spaces, "_" and "-" are ignored.
_FOLDERS = frozenset({
    "annotation", "annotations", "contours", "groundtruth", "groundtruths", "gt", "labelmap",
    "labelmaps", "labels", "labelstr", "labelsts", "labelsval", "mask", "masks", "seg", "segs",
    "segmentation", "segmentationmask", "segmentationmasks", "segmentations",
})  # fmt: skip
_FILLERS = str.maketrans("", "", " _-")
# Words that say nothing else, also of a picture; the first four are suffixes of BIDS.
_CLEAR_WORDS = frozenset({
    "mask", "dseg", "probseg", "defacemask", "masks", "seg", "segs", "aseg", "segmentation",
    "segmentations", "labelmap", "groundtruth",
})  # fmt: skip
# A picture may be the crop of a region, or of a label on it; a volume with such a name is a mask.
_VOLUME_WORDS = _CLEAR_WORDS | {
    "label", "labels", "roi", "rois", "gt", "annotation", "annotations",
}  # fmt: skip
_CLEAR_PART = re.compile("mask|seg|labelmap|groundtruth", re.IGNORECASE)
_WORD = re.compile("[a-z]+")
_WORD_OF_COLUMN = re.compile("[A-Z]?[a-z]+|[A-Z]+")


def find_mask_folder(path: str) -> str:
    """The first folder of the path whose name says that its files are masks, or ''."""
    return _find_folder(path.rpartition("/")[0])


def find_mask_word(path: str, *, is_volume: bool = False) -> str:
    """The first or last word of a file's name that says so: ``1_mask.png``, ``seg-0.nii``."""
    if not is_volume and not _CLEAR_PART.search(path):
        return ""  # nearly every picture, without the search for words
    words = _WORD.findall(path.rpartition("/")[2].partition(".")[0].casefold())
    known = _VOLUME_WORDS if is_volume else _CLEAR_WORDS
    return next((word for word in (*words[:1], *words[-1:]) if word in known), "")


def explain_mask(path: str) -> str:
    """By what a picture is taken for a mask; '' if it is not."""
    if folder := find_mask_folder(path):
        return f"their folder “{folder}”"
    word = find_mask_word(path)
    return f"the word “{word}” in their names" if word else ""


def is_mask_column(name: str) -> bool:
    """Whether a column such as ``mask_path`` or ``Segmentation`` is about masks."""
    return any(word.casefold() in _CLEAR_WORDS for word in _WORD_OF_COLUMN.findall(name))


@lru_cache(maxsize=4096)
def _find_folder(folders: str) -> str:
    parts = folders.split("/")
    return next((each for each in parts if each.casefold().translate(_FILLERS) in _FOLDERS), "")
