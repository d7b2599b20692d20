"""The order in which images are shown, as an order of profiles. Django-free; uses only numpy.

What can be seen here comes first, pictures before other objects, and patients before phantoms and
synthetic pictures. Among equals the datasets take turns, so that a page shows many of them: first
come the first ``FIRST`` images of each of their profiles, then the rest of each.
"""

from dataclasses import dataclass
from itertools import pairwise

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
    ``after`` is not among the counted rows.
    """
    ids, num_images = counted.pairs()
    ranks = counted.codes("rank").astype(np.int64)
    begin = None
    if after:
        at = np.flatnonzero(ids == after.profile_id)
        if not len(at):
            return None
        begin = int(ranks[at[0]])
    low, high = _find_ranks(ranks, num_images, begin, limit, backwards=backwards)
    needed = np.flatnonzero((low <= ranks) & (ranks <= high))
    owners = counted.codes("dataset")[needed].astype(np.int64)
    places = needed[_take_turns(ranks[needed], owners)]
    order = _Order(ids[places], num_images[places], ranks[places])
    return order.segments(after, limit, backwards=backwards)


def _find_ranks(
    ranks: Ints, num_images: Ints, begin: int | None, limit: int, *, backwards: bool
) -> tuple[int, int]:
    """The lowest and the highest rank in which the segments are: only these are put in order.

    ``begin`` is the rank of a cursor. Its images do not count, as all may lie on the other side.
    """
    sums = np.bincount(ranks, weights=num_images).tolist() or [0]
    order = list(range(len(sums)))
    if backwards:
        order.reverse()
    chosen: list[int] = []
    for rank in order[order.index(begin) if begin is not None else 0 :]:
        chosen.append(rank)
        limit -= 0 if rank == begin else sums[rank]
        if limit <= 0:
            break
    return min(chosen), max(chosen)


@dataclass(frozen=True, slots=True)
class _Order:
    """Profiles in the order in which they take turns, with the images of each that match.

    ``ranks`` (ascending) tell what comes before what; only profiles of one rank take turns.
    """

    profile_ids: Ints
    num_images: Ints
    ranks: Ints

    def segments(self, after: Segment | None, limit: int, *, backwards: bool) -> list[Segment]:
        at = self._place(after) if after else -1
        found: list[Segment] = []
        for is_rest, start, end in self._parts(backwards=backwards):
            places = np.arange(start, end)
            if after and not found:
                if is_rest != after.is_rest or not start <= at < end:
                    continue
                # Some of its images come before, so they are not counted.
                found.append(after)
                places = places[places < at] if backwards else places[places > at]
            num_images = self._count(places, is_rest=is_rest)
            places, num_images = places[num_images > 0], num_images[num_images > 0]
            if backwards:
                places, num_images = places[::-1], num_images[::-1]
            full = int(np.searchsorted(np.cumsum(num_images), limit)) + 1
            found += [Segment(is_rest, int(self.profile_ids[n])) for n in places[:full]]
            limit -= int(num_images.sum())
            if limit <= 0:
                break
        return found

    def _parts(self, *, backwards: bool) -> list[tuple[bool, int, int]]:
        """Of each rank the first images of its profiles, [start, end), and then the rests."""
        starts = np.flatnonzero(np.diff(self.ranks, prepend=-1)).tolist()
        parts = [
            (is_rest, start, end)
            for start, end in pairwise([*starts, len(self.ranks)])
            for is_rest in (False, True)
        ]
        return parts[::-1] if backwards else parts

    def _count(self, places: NDArray[np.intp], *, is_rest: bool) -> Ints:
        num_images = self.num_images[places]
        return np.maximum(num_images - FIRST, 0) if is_rest else np.minimum(num_images, FIRST)

    def _place(self, segment: Segment) -> int:
        return int(np.flatnonzero(self.profile_ids == segment.profile_id)[0])


def _take_turns(ranks: Ints, owners: Ints) -> NDArray[np.intp]:
    """The positions of rows, of which the datasets are ``owners``, in the order of their turns."""
    # Rows of one rank and dataset, in the order of ids, get the turns 0, 1, 2 …
    by_group = _sort_by(ranks, _sort_by(owners, np.arange(len(owners))))
    groups = (ranks * (owners.max(initial=0) + 1) + owners)[by_group]
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
