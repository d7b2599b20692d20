"""Compares names of files as people write them: without regard to case and to usual endings."""

from collections.abc import Iterable, Sequence

from catalog.imaging.suffixes import PICTURE_SUFFIXES

# Endings that say the same.
_ALIKE = (
    (".jpg", ".jpeg", ".jpe", ".jfif"),
    (".tif", ".tiff"),
    (".dcm", ".dicom"),
    (".jp2", ".j2k", ".jpf", ".jpx"),
    (".bmp", ".dib"),
)
_FAMILY = {suffix: family[0] for family in _ALIKE for suffix in family}
_SUFFIXES = PICTURE_SUFFIXES | {".nii", ".dcm", ".dicom"}
_PACKED = ".nii.gz"


def split_suffix(name: str) -> tuple[str, str]:
    """`A.PNG` → `a`, `.png`; of `1.2.840` nothing is the ending of an image."""
    folded = name.casefold()
    if folded.endswith(_PACKED):
        return folded.removesuffix(_PACKED), _PACKED
    stem, dot, end = folded.rpartition(".")
    suffix = dot + end
    return (stem, suffix) if suffix in _SUFFIXES else (folded, "")


class NameIndex:
    """The names of files by what they have in common."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_stem: dict[str, list[str]] = {}
        for name in names:
            self._by_stem.setdefault(split_suffix(name)[0], []).append(name)

    def find(self, wanted: str) -> str:
        """The only name that differs in case, or in endings that say the same, or ''."""
        stem, suffix = split_suffix(wanted)
        near = self._by_stem.get(stem, ())
        by_case = [name for name in near if name.casefold() == wanted.casefold()]
        family = _FAMILY.get(suffix, suffix)
        alike = [name for name in near if not suffix or _family_of(name) == family]
        return next((found[0] for found in (by_case, alike) if len(found) == 1), "")

    def offer(self, wanted: str) -> Sequence[str]:
        """Names that differ in case and ending alone."""
        return self._by_stem.get(split_suffix(wanted)[0], ())


def _family_of(name: str) -> str:
    suffix = split_suffix(name)[1]
    return _FAMILY.get(suffix, suffix)
