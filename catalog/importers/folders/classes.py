"""Pictures in class folders, a common layout of training sets.

The layouts are that of torchvision's ImageFolder, ``<class>/…/<file>``, and the same below a split,
``<split>/<class>/…/<file>``. Pictures outside a class folder have no label.
"""

import warnings
from typing import BinaryIO, NamedTuple

from PIL import Image, UnidentifiedImageError

from catalog.imaging.rendering import FORMATS
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


class Place(NamedTuple):
    """Class and split of a picture, from its path; '' if there is none."""

    label: str
    split: str


class ClassFolders(FolderSource):
    """The pictures of a folder; the name of the class folder is the label."""

    kind = Kind.PICTURES

    def read_image(self, path: str, file: BinaryIO) -> ImageRow:
        width, height = read_size(file)
        place = parse_place(path, root_name=self.root.name)
        return ImageRow(
            source_id=make_source_id(path),
            file_path=path,
            modality=self.modality,
            width=width,
            height=height,
            metadata={"split": place.split} if place.split else {},
            labels=(LabelRow(place.label),) if place.label else (),
        )


def parse_place(path: str, *, root_name: str) -> Place:
    """Class and split of a picture from its path below the dataset's folder.

    A folder with the dataset's own name, as in unpacked archives, and folders such as ``images``
    are ignored.
    """
    folders = path.split("/")[:-1]
    wrappers = _WRAPPERS | {root_name.casefold()}
    split = ""
    while folders:
        word = folders[0].strip().casefold()
        if word in wrappers:
            folders.pop(0)
        elif word in SPLITS and not split:
            split = SPLITS[word]
            folders.pop(0)
        else:
            return Place(folders[0].strip(), split)
    return Place("", split)


def read_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height in pixels, from the header alone: nothing is decoded.

    Raises:
        Unreadable: it is not a picture that Pillow can read, or it is too large (Pillow's own
            limit against decompression bombs, about 179 megapixels).
    """
    try:
        with warnings.catch_warnings():
            # A large picture is accepted, as nothing is decoded; one that is far too large raises.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=(*FORMATS, "AVIF")) as picture:
                return picture.size
    except Image.DecompressionBombError as error:
        raise Unreadable(
            "The picture has more pixels than can be opened safely. Cut it into tiles, or list it "
            "in a table with its size: see docs/loading-data.md."
        ) from error
    except UnidentifiedImageError as error:
        raise Unreadable(
            "The file is not a picture, though its name says so. Replace it, or remove it."
        ) from error
    except Exception as error:
        # Pillow may raise any exception on malformed files; one of them must not stop an import.
        raise Unreadable(
            "The picture's header is damaged. Get the file again, or remove it."
        ) from error
