"""The order in which images are shown, as an order of profiles. Django-free; uses only numpy.

What can be seen here comes first, pictures before other objects, and patients before phantoms and
synthetic pictures. Among equals the datasets take turns, so that a page shows many of them: first
come the first ``FIRST`` images of each of their profiles, then the rest of each.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from catalog.search.columns import Counted, Ints

FIRST = 2


@dataclass(frozen=True, slots=True)
class Segment:
    """Some images of a profile: its first ones, or the rest."""

    is_rest: bool
    profile_id: int


def find_segments(
    counted: Counted, after: Segment | None, limit: int, *, backwards: bool
) -> list[Segment] | None:
    """The segment ``after`` and those that follow with together at least ``limit`` images.

    The first or the last ones without ``after``; fewer images if there are no more. None if
    ``after`` is not among the counted rows. Its own images do not count, as all may lie on the
    other side of a cursor.
    """
    ranks = counted.codes("rank")
    parts = [(rank, rest) for rank in range(ranks.max(initial=-1) + 1) for rest in (False, True)]
    if backwards:
        parts.reverse()
    if after:
        own = ranks[counted.pairs()[0] == after.profile_id].tolist()
        if not own:
            return None
        parts = parts[parts.index((own[0], after.is_rest)) :]
    found = [after] if after else []
    turns: _Turns | None = None
    for rank, is_rest in parts:
        if turns is None or turns.rank != rank:
            turns = _Turns.of(counted, rank, np.flatnonzero(ranks == rank))
        segments, num_images = turns.next(after, limit, is_rest=is_rest, backwards=backwards)
        found += segments
        limit -= num_images
        if limit <= 0:
            break
        after = None
    return found


@dataclass(frozen=True, slots=True)
class _Turns:
    """The profiles of one rank, with the images of each that match.

    ``keys`` are in the order in which they take turns: all datasets with their first profile, all
    with their second one, and so on.
    """

    rank: int
    profile_ids: Ints
    num_images: Ints
    keys: Ints

    @classmethod
    def of(cls, counted: Counted, rank: int, places: NDArray[np.intp]) -> Self:
        ids, num_images = counted.pairs()
        owners = counted.codes("dataset")[places]
        keys = _count_before(owners) * (owners.max(initial=0) + 1) + owners
        return cls(rank, ids[places], num_images[places], keys)

    def next(
        self, after: Segment | None, limit: int, *, is_rest: bool, backwards: bool
    ) -> tuple[list[Segment], int]:
        """Segments behind ``after`` with ``limit`` images, or all of them, and their images."""
        num_images = self._count(is_rest=is_rest)
        is_open = num_images > 0
        keys = -self.keys if backwards else self.keys
        if after:
            is_open &= keys > keys[self.profile_ids == after.profile_id]
        places = _find_lowest(keys, np.flatnonzero(is_open), limit)
        sums = np.cumsum(num_images[places])
        places = places[: int(np.searchsorted(sums, limit)) + 1]
        segments = [Segment(is_rest, pk) for pk in self.profile_ids[places].tolist()]
        return segments, int(sums[-1]) if len(sums) else 0

    def _count(self, *, is_rest: bool) -> Ints:
        if is_rest:
            return np.maximum(self.num_images - FIRST, 0)
        return np.minimum(self.num_images, FIRST)


def _count_before(owners: NDArray[np.int32]) -> Ints:
    """For each row the number of rows before it with the same owner.

    Profiles of a dataset mostly follow each other, so that only such runs of rows are sorted.
    """
    starts = np.flatnonzero(np.diff(owners, prepend=np.int32(-1)))
    sizes = np.diff(starts, append=len(owners))
    by_owner = np.argsort(owners[starts], kind="stable")
    sorted_owners, sorted_sizes = owners[starts][by_owner], sizes[by_owner]
    sums = np.cumsum(sorted_sizes) - sorted_sizes
    before = np.empty_like(sizes)
    before[by_owner] = sums - sums[np.searchsorted(sorted_owners, sorted_owners)]
    return np.arange(len(owners)) + np.repeat(before - starts, sizes)


def _find_lowest(keys: Ints, places: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
    """The places with the ``limit`` lowest keys, in their order."""
    wanted = keys[places]
    if len(places) > limit:
        nearest = np.argpartition(wanted, limit)[:limit]
        places, wanted = places[nearest], wanted[nearest]
    return places[np.argsort(wanted)]
