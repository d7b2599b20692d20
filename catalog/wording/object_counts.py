"""What a number counts, in words: "771 pictures and series; 12 segmentations", "150 patients".

Archives are rebuilt byte for byte: whoever changes what comes out here raises CONTENTS_VERSION,
the version of an archive's texts.
"""

from collections.abc import Iterator, Mapping

from catalog.models import SampleUnit
from vocab.models import Kind

# Numbers of objects by their kinds.
KindCounts = Mapping[str, int]

# Singular and plural. Where there are only pictures, they are simply images.
_IMAGES = ("image", "images")
_OBJECTS = ("object", "objects")
_OTHERS = ("other object", "other objects")
_NOUNS: Mapping[str, tuple[str, str]] = {
    Kind.PICTURE: ("picture or series", "pictures and series"),
    Kind.SEGMENTATION: ("segmentation", "segmentations"),
    Kind.ANNOTATION: ("annotation", "annotations"),
    Kind.REPORT: ("report", "reports"),
    Kind.REGISTRATION: ("registration", "registrations"),
    Kind.PLAN: ("radiotherapy plan or record", "radiotherapy plans and records"),
    Kind.DOSE: ("radiotherapy dose", "radiotherapy doses"),
    Kind.WAVEFORM: ("waveform", "waveforms"),
    Kind.OTHER: _OTHERS,
}
# What a dataset's owner counts, where that is not stated.
_UNSTATED = ("image or study", "images or studies")


def only_others(counts: KindCounts) -> dict[str, int]:
    """The objects that are neither pictures nor series of them."""
    return {kind: n for kind, n in counts.items() if n and kind != Kind.PICTURE}


def say_objects(counts: KindCounts, *, beside: bool = False) -> str:
    """The numbers with their nouns, pictures first.

    ``beside`` other objects that are not counted here, pictures are called so too.
    """
    return "; ".join(_count(n, nouns) for n, nouns in _parts(counts, beside))


def noun_of(counts: KindCounts, *, beside: bool = False, number: int | None = None) -> str:
    """The noun for the sum of the numbers, or for another ``number`` of these objects.

    ``beside`` is as in ``say_objects``.
    """
    parts = list(_parts(counts, beside))
    nouns = parts[0][1] if len(parts) == 1 else _OBJECTS
    return _choose(sum(counts.values()) if number is None else number, nouns)


def say_published(number: int, unit: str) -> str:
    """What the owner of a dataset counts: "150 patients"; "" if no number is stated."""
    if not number:
        return ""
    return _count(number, (unit, str(SampleUnit(unit).label)) if unit else _UNSTATED)


def _parts(counts: KindCounts, beside: bool) -> Iterator[tuple[int, tuple[str, str]]]:
    """Numbers with their nouns; several kinds of other objects are one number."""
    pictures, others = counts.get(Kind.PICTURE, 0), only_others(counts)
    if pictures or not others:
        yield pictures, _NOUNS[Kind.PICTURE] if others or beside else _IMAGES
    if others:
        yield sum(others.values()), _NOUNS[next(iter(others))] if len(others) == 1 else _OTHERS


def _count(number: int, nouns: tuple[str, str]) -> str:
    return f"{number:,} {_choose(number, nouns)}"


def _choose(number: int, nouns: tuple[str, str]) -> str:
    return nouns[number != 1]
