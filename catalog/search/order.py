"""The order in which images are shown, as an order of profiles. Django-free; uses only numpy.

What can be seen here comes first, pictures before other objects, and patients before phantoms and
synthetic pictures. Among equals the datasets take turns, so that a page shows many of them: first
come the first ``FIRST`` images of each of their profiles, then the rest of each.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from catalog.search.columns import Column, Counted, Ints

FIRST = 2


@dataclass(frozen=True, slots=True)
class Segment:
    """Some images of a profile: its first ones, or the rest."""

    is_rest: bool
    profile_id: int


@dataclass(frozen=True, slots=True)
class Order:
    """Profiles in the order in which they take turns, with the images of each that match.

    ``ranks`` (ascending) tell what comes before what; only profiles of one rank take turns.
    """

    profile_ids: Ints
    num_images: Ints
    ranks: Ints

    @classmethod
    def of(cls, counted: Counted) -> "Order":
        ids, num_images = counted.pairs()
        ranks = _ranks(counted)
        places = _take_turns(counted, ranks)
        return cls(ids[places], num_images[places], ranks[places])

    def segments(
        self, after: Segment | None, limit: int, *, backwards: bool
    ) -> list[Segment] | None:
        """The segment ``after`` and those that follow with together at least ``limit`` images.

        The first or the last ones without ``after``; fewer images if there are no more. None if
        ``after`` is not in this order.
        """
        of_parts = [np.minimum(self.num_images, FIRST), np.maximum(self.num_images - FIRST, 0)]
        parts = self._order_parts()
        num_images = np.concatenate(of_parts)[parts]
        at = self._place(after, parts) if after else None
        if after and at is None:
            return None
        places = np.flatnonzero(num_images)
        if at is not None:
            places = places[places <= at] if backwards else places[places >= at]
        if backwards:
            places = places[::-1]
        # Some images of the given segment come before, so it is not counted.
        own = 1 if at is not None and len(places) and places[0] == at else 0
        full = int(np.searchsorted(np.cumsum(num_images[places[own:]]), limit)) + 1
        return [self._segment(part) for part in parts[places[: own + full]].tolist()]

    def _order_parts(self) -> NDArray[np.intp]:
        """The first images of each profile (0, 1, …) and the rests, as numbers that go on."""
        size = len(self.ranks)
        starts = np.flatnonzero(np.diff(self.ranks, prepend=-1)).tolist()
        parts = [
            np.arange(start + part, end + part)
            for start, end in pairwise([*starts, size])
            for part in (0, size)
        ]
        return np.concatenate([np.empty(0, dtype=np.intp), *parts])

    def _place(self, segment: Segment, parts: NDArray[np.intp]) -> int | None:
        found = np.flatnonzero(self.profile_ids == segment.profile_id)
        if not len(found):
            return None
        part = int(found[0]) + segment.is_rest * len(self.profile_ids)
        return int(np.flatnonzero(parts == part)[0])

    def _segment(self, part: int) -> Segment:
        is_rest, at = divmod(part, len(self.profile_ids))
        return Segment(bool(is_rest), int(self.profile_ids[at]))


def _ranks(counted: Counted) -> Ints:
    """The ranks of the counted rows."""
    rank = counted.table.columns["rank"]
    assert isinstance(rank, Column)  # noqa: S101 - tells the type checker
    return (rank.codes if counted.rows is None else rank.codes[counted.rows]).astype(np.int64)


def _take_turns(counted: Counted, ranks: Ints) -> NDArray[np.intp]:
    """The positions of the counted rows in the order in which they are shown."""
    datasets = counted.table.columns["dataset"]
    assert isinstance(datasets, Column)  # noqa: S101 - tells the type checker
    chosen = slice(None) if counted.rows is None else counted.rows
    owners = datasets.codes[chosen].astype(np.int64)
    # Rows of one rank and dataset, in the order of ids, get the turns 0, 1, 2 …
    by_group = _sort_by(ranks, _sort_by(owners, np.arange(len(owners))))
    groups = (ranks * len(datasets.values) + owners)[by_group]
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    sizes = np.diff(starts, append=len(groups))
    turns = np.empty(len(groups), dtype=np.int64)
    turns[by_group] = np.arange(len(groups)) - np.repeat(starts, sizes)
    return _sort_by(ranks, _sort_by(turns, by_group))


def _sort_by(keys: Ints, places: NDArray[np.intp]) -> NDArray[np.intp]:
    """The places in the order of their keys, equal ones as they are.

    The smallest type of integer is several times faster, as numpy sorts 16 bits by counting.
    """
    small = keys[places].astype(np.min_scalar_type(int(keys.max(initial=0))))
    return places[np.argsort(small, kind="stable")]
