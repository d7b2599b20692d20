"""Pictures in class folders, a common layout of training sets.

The layouts are that of torchvision's ImageFolder, ``<class>/…/<file>``, and the same below a split,
``<split>/<class>/…/<file>``. Pictures outside a class folder have no label. Nor have masks, which
are annotations and not images of patients: see ``catalog.importers.masks``.
"""

from dataclasses import replace
from typing import BinaryIO, NamedTuple

from catalog.imaging.content import HEAD, MAX_PIXELS, read_picture
from catalog.imaging.problems import FileProblem, UnusableFile
from catalog.importers.folders.source import FolderSource, Kind, Unreadable, make_source_id
from catalog.importers.masks import explain_mask, find_mask_folder, find_mask_word
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


class Place(NamedTuple):
    """Class and split of a picture, from its path; '' if there is none.

    ``annotation`` is the folder, or the word in the file's name, that says that it is a mask.
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
        return ImageRow(
            source_id=make_source_id(path),
            file_path=path,
            modality="" if place.annotation else self.modality,
            metadata={name: value for name, value in found.items() if value},
            labels=(LabelRow(place.label),) if place.label else (),
            mask=explain_mask(path) if place.annotation else "",
        )


def parse_place(path: str, *, root_name: str) -> Place:
    """Class and split of a picture from its path below the dataset's folder.

    A folder with the dataset's own name, as in unpacked archives, and folders such as ``images``
    are ignored.
    """
    folders = path.split("/")[:-1]
    wrappers = _WRAPPERS | {root_name.casefold()}
    annotation = find_mask_folder(path) or find_mask_word(path)
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
