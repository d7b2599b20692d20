"""Items in batches."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of ``size``; the last list may be shorter, and none is empty."""
    # Like itertools.batched, which needs Python 3.12.
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
