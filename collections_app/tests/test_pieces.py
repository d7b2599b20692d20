"""Items in pieces, shared out among two processes."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collections_app import pieces
from collections_app.models import Collection
from collections_app.pieces import Piece, SharedPieces, cut


@pytest.fixture
def lock() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        yield file


def collection_of(images: int, *, size: int = 1000, left_out: int = 0) -> Collection:
    return Collection(
        num_images=images,
        num_files=images,
        num_bytes=images * size,
        provenance={"left_out": left_out},
    )


@given(st.integers(0, 50), st.integers(0, 5), st.integers(1, 60))
def test_every_item_is_in_one_piece(images: int, left_out: int, items: int) -> None:
    found = cut(collection_of(images, left_out=left_out), items=items)
    positions = [p for piece in found for p in range(piece.first, piece.last + 1)]
    assert positions == list(range(1, images + left_out + 1))
    assert all(piece.last - piece.first < items for piece in found)


def test_images_without_a_file_need_no_pieces_of_their_own(lock: BinaryIO) -> None:
    collection = Collection(num_images=200_000, num_files=2, num_bytes=200_000_000)
    assert SharedPieces(collection, lock.fileno()).count == 200


@pytest.mark.parametrize(
    ("size", "items"), [(0, 1000), (12_000, 1000), (300_000, 223), (1 << 40, 1)]
)
def test_pieces_of_large_files_are_short(lock: BinaryIO, size: int, items: int) -> None:
    assert SharedPieces(collection_of(5000, size=size), lock.fileno()).items == items


def test_two_processes_take_each_piece_once(
    lock: BinaryIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "SHARED_ITEMS", 1)
    shared = SharedPieces(collection_of(5000), lock.fileno())
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            taken = [piece.first for piece in shared.from_back()]
            with open(writing, "w") as pipe:  # noqa: PTH123 - a descriptor
                pipe.write(" ".join(map(str, taken)))
        finally:
            os._exit(0)
    os.close(writing)
    ours = [piece.first for piece in shared.from_front()]
    with open(reading) as pipe:  # noqa: PTH123 - a descriptor
        theirs = [int(word) for word in pipe.read().split()]
    os.waitpid(pid, 0)
    assert ours + theirs[::-1] == list(range(1, 5001))


def test_a_dead_process_holds_up_nobody(lock: BinaryIO) -> None:
    shared = SharedPieces(collection_of(3000), lock.fileno())
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with shared._locked():
            os.write(writing, b"x")
            time.sleep(60)
        os._exit(0)
    assert os.read(reading, 1) == b"x"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for end in (reading, writing):
        os.close(end)
    assert next(shared.from_front()) == Piece(1, 1000)


def test_after_a_stop_nothing_is_left(lock: BinaryIO) -> None:
    shared = SharedPieces(collection_of(3000), lock.fileno())
    assert next(shared.from_back()) == Piece(2001, 3000)
    shared.stop()
    assert list(shared.from_front()) == list(shared.from_back()) == []


def test_progress_adds_up_over_pieces(lock: BinaryIO) -> None:
    shared = SharedPieces(collection_of(3000), lock.fileno())
    for done in ((5, 50), (1000, 9000)):
        shared.reporter()(*done)
    assert shared.progress == (1005, 9050)
