"""The second process of a build: it writes its share, and what goes wrong in it is told."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from collections_app import build as building
from collections_app import claims, pieces
from collections_app.build import build_collection
from collections_app.models import Collection
from collections_app.pieces import Piece, SharedPieces
from collections_app.proof import prove_archive
from collections_app.services import expire_collection, retry_collection
from collections_app.tests.factories import (
    image_file,
    make_collection,
    make_dataset,
    read_archive,
)

pytestmark = pytest.mark.django_db(transaction=True)

WORTH_WAITING_FOR = 20.0


class Generous(SharedPieces):
    """Leaves all but the first piece to the helper, so that it is not over before it began."""

    def from_front(self) -> Iterator[Piece]:
        front = super().from_front()
        yield from [piece for piece in [next(front, None)] if piece]
        deadline = time.monotonic() + WORTH_WAITING_FOR
        while self._ends[0] != self._ends[1]:
            assert time.monotonic() < deadline, "the helper does not help"
            time.sleep(0.01)


class Greedy(SharedPieces):
    """Leaves nothing to the helper."""

    def from_back(self) -> Iterator[Piece]:
        yield from ()


@pytest.fixture(autouse=True)
def _many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "SHARED_ITEMS", 3)


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "SharedPieces", Generous)


def build(collection: Collection) -> Collection:
    build_collection(collection_id=collection.pk)
    collection.refresh_from_db()
    return collection


def build_again(collection: Collection) -> dict[str, bytes]:
    expire_collection(collection=collection)
    retry_collection(collection=collection)
    return read_archive(build(collection))


def left_behind() -> list[str]:
    return sorted(path.name for path in Path(settings.ARCHIVE_ROOT).glob("*"))


def test_the_archive_does_not_show_who_wrote_what(monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(files=17, remote=5)
    make_dataset("other", files=4)
    collection = make_collection("")
    monkeypatch.setattr(building, "SharedPieces", Greedy)
    alone = read_archive(build(collection))
    monkeypatch.setattr(building, "SharedPieces", Generous)
    assert build_again(collection) == alone
    monkeypatch.undo()
    assert build_again(collection) == alone
    prove_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert collection.archive_sha256


@pytest.mark.usefixtures("helped")
def test_images_that_lie_elsewhere_take_no_place() -> None:
    make_dataset("aaa", files=2, remote=9)
    make_dataset("zzz", remote=7, files=0)
    collection = build(make_collection(""))
    assert collection.status == "ready"
    prove_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert (collection.archive_sha256 != "", collection.error_message) == (True, "")


@pytest.mark.usefixtures("helped")
def test_a_bad_file_of_the_helper_is_listed_with_all_others() -> None:
    make_dataset(files=12)
    collection = make_collection("")
    image_file(11).unlink()
    image_file(7).write_bytes(b"another image")
    build(collection)
    assert collection.status == "failed"
    assert collection.error_message.startswith("2 files are not as the catalog says")
    bad = collection.items.with_problems().order_by("position").values_list("position", flat=True)
    assert list(bad) == [8, 12]
    assert left_behind() == []


@pytest.mark.usefixtures("helped")
def test_progress_counts_what_the_helper_has_written() -> None:
    make_dataset(files=12)
    collection = make_collection("")
    told: list[int] = []
    build_collection(collection_id=collection.pk, on_progress=told.append)
    collection.refresh_from_db()
    assert collection.status == "ready"
    assert told == sorted(told)


def test_a_build_lives_while_images_that_lie_elsewhere_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_dataset(files=1, remote=20)
    collection = make_collection("")
    monkeypatch.setattr(building, "SharedPieces", Greedy)
    monkeypatch.setattr(pieces, "SHARED_ITEMS", 1)
    monkeypatch.setattr(claims, "RENEW_SECONDS", 0.0)
    told: list[int] = []
    build_collection(collection_id=collection.pk, on_progress=told.append)
    assert len(told) > 20


def test_a_collection_that_is_deleted_while_two_write_ends_quietly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_dataset(files=12)
    collection = make_collection("")

    class Deleted(Generous):
        def from_front(self) -> Iterator[Piece]:
            front = super().from_front()
            yield next(front)
            Collection.objects.filter(pk=collection.pk).delete()
            yield from front

    monkeypatch.setattr(building, "SharedPieces", Deleted)
    build_collection(collection_id=collection.pk)
    assert left_behind() == []


def _die(number: int, *_: Any, **__: Any) -> None:
    os.kill(os.getpid(), number)


def _fail(error: BaseException, *_: Any, **__: Any) -> None:
    raise error


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (partial(_die, signal.SIGKILL), "a process of the build has died"),
        (partial(_fail, OSError(28, "No space left on device")), "disk is full"),
        (partial(_fail, OSError(5, "Input/output error")), "Input/output error"),
    ],
    ids=["killed", "disk-full", "io-error"],
)
@pytest.mark.parametrize("step", ["_offsets", "pack_tables", "iter_pieces"])
@pytest.mark.usefixtures("helped")
def test_a_build_whose_helper_fails_says_why_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, step: str, deed: Callable[..., None], reason: str
) -> None:
    make_dataset(files=12)
    collection = make_collection("")
    monkeypatch.setattr(f"collections_app.helping.{step}", deed)
    if reason.endswith("died"):
        # Nobody is left to say that there is nothing to take any more.
        monkeypatch.setattr(building, "SharedPieces", SharedPieces)
    build(collection)
    assert collection.status == "failed"
    assert reason in collection.error_message
    assert left_behind() == []
    monkeypatch.undo()
    retry_collection(collection=collection)
    assert build(collection).status == "ready"


def test_nothing_more_is_written_once_the_helper_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(files=40)
    taken: list[Piece] = []

    class Slow(SharedPieces):
        def from_front(self) -> Iterator[Piece]:
            for piece in super().from_front():
                time.sleep(0.1)
                taken.append(piece)
                yield piece

    monkeypatch.setattr(pieces, "SHARED_ITEMS", 1)
    monkeypatch.setattr(building, "SharedPieces", Slow)
    monkeypatch.setattr("collections_app.helping.pack_tables", partial(_die, signal.SIGKILL))
    collection = build(make_collection(""))
    assert "a process of the build has died" in collection.error_message
    assert len(taken) < 30


def test_a_file_that_fails_in_the_front_stops_the_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(files=12)
    collection = make_collection("")
    image_file(0).unlink()
    monkeypatch.setattr(
        "collections_app.helping.iter_pieces", lambda *_: iter(lambda: time.sleep(60), 1)
    )
    start = time.monotonic()
    build(collection)
    assert collection.error_message.startswith("1 file is not as the catalog says")
    assert time.monotonic() - start < WORTH_WAITING_FOR
    assert left_behind() == []
