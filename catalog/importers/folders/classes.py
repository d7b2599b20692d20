"""Pictures in folders that are named after what they show, as many training sets come.

The layouts are those of torchvision's ImageFolder, ``<class>/…/<file>``, and of the same with a
split before it, ``<split>/<class>/…/<file>``. Pictures that lie in no such folder have no label.
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
# Folders that only hold the rest: their names say nothing of what a picture shows.
_WRAPPERS = frozenset({"images", "image", "imgs", "img", "pictures", "data", "dataset"})


class Place(NamedTuple):
    """What a picture's path says: its class as the folder has it, and its split; '' for none."""

    label: str
    split: str


class ClassFolders(FolderSource):
    """The pictures of a folder; the class folder's name is the label's word."""

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

    A folder that repeats the dataset's own name, as unpacked archives do, and folders such as
    ``images`` are passed over.
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
        Unreadable: it is no picture that Pillow knows, or one so large that it looks like a trap
            (Pillow's own limit, about 179 megapixels).
    """
    try:
        with warnings.catch_warnings():
            # Large is no fault as long as nothing is decoded; far too large raises.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=(*FORMATS, "AVIF")) as picture:
                return picture.size
    except Image.DecompressionBombError as error:
        raise Unreadable(
            "The picture claims more pixels than can be safe to open. Cut it into tiles, or list "
            "it in a table with its size: see dataset.toml in the guide."
        ) from error
    except UnidentifiedImageError as error:
        raise Unreadable(
            "The file is not the picture that its name says. Replace it, or remove it."
        ) from error
    except Exception as error:
        # Pillow's parsers raise anything on hostile bytes; one such file must not stop an import.
        raise Unreadable(
            "The picture's header is damaged. Get the file again, or remove it."
        ) from error
