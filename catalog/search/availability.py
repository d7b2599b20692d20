"""How many images are here, elsewhere with an address, and listed only."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from catalog.models import Availability
from catalog.search.columns import Counted, Rows
from catalog.search.filter_choices import AVAILABILITY_CODES, FILE_CODES
from catalog.search.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class AvailabilityPart:
    """Images with one availability; ``value`` is that of the filter ``local``."""

    value: str
    availability: Availability
    count: int


@dataclass(frozen=True, slots=True)
class AvailabilityCounts:
    """Numbers of images by where their files are."""

    here: int = 0
    elsewhere: int = 0
    listed: int = 0

    @classmethod
    def of(cls, counted: Counted) -> Self:
        sums = counted.sums("local")
        return cls(**{each.value: sums.get(AVAILABILITY_CODES[each], 0) for each in Availability})

    @property
    def total(self) -> int:
        return self.here + self.elsewhere + self.listed

    @property
    def parts(self) -> list[AvailabilityPart]:
        """The numbers above zero, each with its name."""
        values = {code: value for value, code in FILE_CODES.items()}
        parts = [AvailabilityPart(values[AVAILABILITY_CODES[each]], each, getattr(self, each.value))
                 for each in Availability]  # fmt: skip
        return [part for part in parts if part.count]


def count_by_dataset(snapshot: Snapshot, ids: Collection[int]) -> dict[int, AvailabilityCounts]:
    """The images and other objects of each of these datasets, by the dataset's id."""
    names = {code: name for name, code in AVAILABILITY_CODES.items()}
    rows = Rows(snapshot.images).where(snapshot.images.columns["dataset"].any_of(ids))
    sums = rows.count().sums_by("dataset", "local")
    return {
        pk: AvailabilityCounts(**{names[code]: n for code, n in sums.get(pk, {}).items()})
        for pk in ids
    }
