"""Many items, a few at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of ``size``, the last one shorter; never an empty one."""
    # As itertools.batched, which Python has from 3.12 on.
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
