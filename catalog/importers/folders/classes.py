"""Pictures in class folders, a common layout of training sets.

The layouts are that of torchvision's ImageFolder, ``<class>/…/<file>``, and the same below a split,
``<split>/<class>/…/<file>``. Pictures outside a class folder have no label. Nor have pictures below
a folder such as ``masks``, which are annotations and not images of patients.
"""

from dataclasses import replace
from typing import BinaryIO, NamedTuple

from catalog.imaging.content import HEAD, read_picture
from catalog.imaging.problems import FileProblem, UnusableFile
from catalog.importers.folders.source import FolderSource, Kind, Unreadable, make_source_id
from catalog.importers.rows import ImageRow, LabelRow

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
# Folders whose names are not classes.
_WRAPPERS = frozenset({"images", "image", "imgs", "img", "pictures", "data", "dataset"})
# Folders of annotations that are pictures themselves; spaces, "_" and "-" are ignored.
_ANNOTATIONS = frozenset({
    "mask", "masks", "seg", "segs", "segmentation", "segmentations", "segmentationmask",
    "segmentationmasks", "annotation", "annotations", "groundtruth", "groundtruths", "gt",
    "labelmap", "labelmaps", "labelstr", "labelsts", "contours",
})  # fmt: skip
# Pillow's own limit against decompression bombs.
MAX_PIXELS = 2 * (1 << 30) // 4 // 3
_FILLERS = str.maketrans("", "", " _-")


class Place(NamedTuple):
    """Class and split of a picture, from its path; '' if there is none.

    ``annotation`` is the name of the folder if the picture is an annotation.
    """

    label: str
    split: str
    annotation: str = ""


class ClassFolders(FolderSource):
    """The pictures of a folder; the name of the class folder is the label."""

    kind = Kind.PICTURES

    def read_image(self, path: str, file: BinaryIO) -> ImageRow:
        width, height = read_size(file)
        return replace(self.describe_path(path), width=width, height=height)

    def describe_path(self, path: str) -> ImageRow:
        place = parse_place(path, root_name=self.root.name)
        found = {"split": place.split, "annotation": place.annotation}
        if place.annotation:
            self.annotations.add(path)
        return ImageRow(
            source_id=make_source_id(path),
            file_path=path,
            modality="" if place.annotation else self.modality,
            metadata={name: value for name, value in found.items() if value},
            labels=(LabelRow(place.label),) if place.label else (),
        )


def parse_place(path: str, *, root_name: str) -> Place:
    """Class and split of a picture from its path below the dataset's folder.

    A folder with the dataset's own name, as in unpacked archives, and folders such as ``images``
    are ignored.
    """
    folders = path.split("/")[:-1]
    wrappers = _WRAPPERS | {root_name.casefold()}
    annotation = next(filter(_is_annotation, folders), "")
    split = ""
    while folders:
        word = folders[0].strip().casefold()
        if word in wrappers:
            folders.pop(0)
        elif word in SPLITS and not split:
            split = SPLITS[word]
            folders.pop(0)
        else:
            return Place("" if annotation else folders[0].strip(), split, annotation)
    return Place("", split, annotation)


def _is_annotation(folder: str) -> bool:
    return folder.casefold().translate(_FILLERS) in _ANNOTATIONS


def read_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height in pixels of a whole picture, from the header alone: nothing is decoded.

    Raises:
        Unreadable: it is not a picture that Pillow can read, or it is too large (Pillow's own
            limit against decompression bombs, about 179 megapixels).
        UnusableFile: it is cut short.
    """
    head = file.read(HEAD)
    file.seek(0)
    try:
        width, height = read_picture(file, head)
    except UnusableFile as error:
        if error.problem is FileProblem.NO_IMAGE:
            raise Unreadable(
                "The file is not a picture, though its name says so. Replace it, or remove it."
            ) from error
        if error.problem is FileProblem.DAMAGED:
            raise Unreadable(
                "The picture's header is damaged. Get the file again, or remove it."
            ) from error
        raise
    if width is None or height is None or width * height > MAX_PIXELS:
        raise Unreadable(
            "The picture has more pixels than can be opened safely. Cut it into tiles, or list it "
            "in a table with its size: see docs/loading-data.md."
        )
    return width, height
