"""Previews of files made to do harm: what they may cost, who waits, and what is remembered."""

import io
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client

from catalog.files import open_image
from catalog.imaging.decoding.decoder import Decoder, _explain, decoder
from catalog.imaging.decoding.ending import CPU_SECONDS, NO_MEMORY, Ending
from catalog.imaging.decoding.turns import Turns
from catalog.imaging.problems import CannotRender
from catalog.imaging.rendering import FORMATS, render_preview
from catalog.models import Image
from catalog.previews import local as previews
from catalog.tests.factories import ImageFactory, add_file, dataset_folder
from catalog.tests.imaging.dicom_files import make_dicom, read_shipped
from catalog.tests.imaging.hostile_files import FILES, save

pytestmark = pytest.mark.django_db

MEMORY, SECONDS = 512 << 20, 10
# These have a picture, and what else is in them is never reached.
SHOWN = {"circle.tif", "frames.dcm", "sub-pages.ome.tif", "windows.dcm", "lookup-table.dcm"}
MAY_BE_SHOWN = {"elements-of-frames.dcm", "run-lengths.dcm"}


def make_image(content: bytes, name: str) -> Image:
    image = ImageFactory()
    add_file(image, content, name)
    return image


def address(image: Image, size: str = "small") -> str:
    return f"/images/{image.pk}/preview/?size={size}"


@pytest.mark.parametrize("name", FILES)
def test_no_file_costs_much_memory_or_time(client: Client, name: str) -> None:
    image = make_image(FILES[name](), name)
    started = time.monotonic()
    response = client.get(address(image))
    assert time.monotonic() - started < SECONDS + 5
    if name not in MAY_BE_SHOWN:
        assert response.status_code == (200 if name in SHOWN else 404)
    ending = decoder.last_ending
    assert ending
    assert ending.peak_kib << 10 < MEMORY
    assert ending.cpu_seconds < SECONDS


# Made when they are needed: each of xdist's workers reads this file.
HONEST: dict[str, Callable[[], bytes]] = {
    **{kind: partial(save, kind, (900, 700)) for kind in FORMATS},
    "deep": lambda: make_dicom(np.arange(600, dtype=np.uint16).reshape(20, 30)),
    "JPEG-LS": lambda: read_shipped("MR_small_jpeg_ls_lossless.dcm"),
    "JPEG 2000": lambda: read_shipped("JPEG2000.dcm"),
    "12 bits": lambda: read_shipped("JPGExtended.dcm"),
    "RLE": lambda: read_shipped("MR_small_RLE.dcm"),
}


@pytest.mark.parametrize("kind", HONEST)
def test_limits_change_nothing_in_the_preview_of_an_honest_file(client: Client, kind: str) -> None:
    name, content = kind if kind in FORMATS else f"{kind}.dcm", HONEST[kind]()
    expected = render_preview(io.BytesIO(content), name=name, max_edge=256)
    response = client.get(address(make_image(content, name)))
    assert response.content == expected.body


def test_a_refusal_is_remembered_until_the_file_changes(client: Client) -> None:
    image = make_image(FILES["canvas.webp"](), "a/x.png")
    first = client.get(address(image))
    assert first.status_code == 404
    decoder.last_ending = None
    again = client.get(address(image))
    assert (again.status_code, again.content) == (404, first.content)
    assert decoder.last_ending is None, "It was decoded again."
    (dataset_folder(image.dataset) / "a/x.png").write_bytes(save("PNG"))
    assert client.get(address(image)).status_code == 200


def test_what_time_is_to_blame_for_is_forgotten(client: Client) -> None:
    image = make_image(save("PNG"), "x.png")
    target = previews.cache_file(image.sha256, 256)
    with open_image(image) as file:
        error = CannotRender("It took too long.")
        error.keep_seconds = 60  # type: ignore[attr-defined]
        previews.remember_refusal(target, error, previews._mark(file))
        assert client.get(address(image)).status_code == 404
        error.keep_seconds = -1  # type: ignore[attr-defined]
        previews.remember_refusal(target, error, previews._mark(file))
    assert client.get(address(image)).status_code == 200


@pytest.fixture
def turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Turns]:
    """Makes the turns that previews take, of their own folder."""

    def make(**options: Any) -> Turns:
        made = Turns(tmp_path / "decoding", **{"most_waiting": 9, "wait_seconds": 0.3, **options})
        monkeypatch.setattr(previews, "_turns", made)
        return made

    return make


def test_two_are_decoded_at_once_and_others_are_told_to_come_again(
    client: Client, turns: Callable[..., Turns]
) -> None:
    """The others are other processes: they have the folder in common, and no memory."""
    turns()
    others = [turns() for _ in range(2)]
    image = make_image(save("PNG"), "x.png")
    with ExitStack() as stack:
        for number, other in enumerate(others):
            stack.enter_context(other.take(f"other {number}"))()
        turns()
        started = time.monotonic()
        response = client.get(address(image))
        assert time.monotonic() - started < 3
        assert response.status_code == 503
        assert response["Retry-After"] == "3"
        assert "try again" in response.content.decode()
        notes = client.get(f"/images/{image.pk}/preview/notes/").content.decode()
        assert "busy" in notes
        assert f'hx-get="/images/{image.pk}/preview/notes/"' in notes
    assert client.get(address(image)).status_code == 200


def test_threads_are_left_for_pages(client: Client, turns: Callable[..., Turns]) -> None:
    image = make_image(save("PNG"), "x.png")
    shared = turns(most_waiting=1, wait_seconds=60)
    with shared.take("another"):
        started = time.monotonic()
        assert client.get(address(image)).status_code == 503
        assert time.monotonic() - started < 1


def test_equal_requests_are_decoded_once(
    turns: Callable[..., Turns], monkeypatch: pytest.MonkeyPatch
) -> None:
    turns(wait_seconds=20)
    image = make_image(save("PNG", (900, 700)), "x.png")
    calls: list[str] = []
    decode = decoder.decode

    def count(*args: Any, **options: Any) -> Any:
        calls.append(options["name"])
        time.sleep(0.1)
        return decode(*args, **options)

    monkeypatch.setattr(decoder, "decode", count)
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(lambda _: previews.cached_preview(image, 256), range(8))
        bodies = {preview.body for preview in made}
    assert len(bodies) == len(calls) == 1


def test_a_slot_is_taken_for_as_long_as_the_decoding_lasts(tmp_path: Path) -> None:
    """Even if the process that asked has ended: the one that decodes has the descriptor."""
    first = Turns(tmp_path, most_waiting=9, wait_seconds=0)
    with first.take("a") as take_slot:
        copy = os.dup(take_slot())
    with first.take("b") as take_slot, first.take("c") as take_other:
        take_slot()
        with pytest.raises(previews.Busy):
            take_other()
        os.close(copy)
        take_other()


def test_the_decoders_have_nothing_of_the_web(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "a secret of the site")
    (tmp_path / "x").write_bytes(save("PNG"))
    fresh = Decoder()
    try:
        with (tmp_path / "x").open("rb") as file:
            fresh.decode(file, name="x", max_edge=64)
        assert fresh._process
        process = Path(f"/proc/{fresh._process.pid}")
        names = {part.split(b"=")[0] for part in (process / "environ").read_bytes().split(b"\0")}
        assert names <= {b"", b"OPENBLAS_NUM_THREADS", b"OMP_NUM_THREADS", b"LC_ALL"}
        opened = [str(link.readlink()) for link in (process / "fd").iterdir()]
        assert all(name == "/dev/null" or name.startswith(("socket:", "pipe:")) for name in opened)
        assert sum(name.startswith("socket:") for name in opened) == 1
    finally:
        fresh.close()


def test_a_kept_process_that_has_ended_is_started_again(client: Client) -> None:
    assert client.get(address(make_image(save("PNG"), "x.png"))).status_code == 200
    assert decoder._process
    os.kill(decoder._process.pid, signal.SIGKILL)
    decoder._process.wait()
    assert client.get(address(make_image(save("PNG", (9, 9)), "y.png"))).status_code == 200


def test_a_failing_disk_is_not_the_fault_of_the_file() -> None:
    # Linux refuses to read there, with EIO, as a disk does that fails.
    with Path("/proc/self/mem").open("rb") as file, pytest.raises(CannotRender) as caught:
        decoder.decode(file, name="x.png", max_edge=64)
    assert "could not be read just now" in caught.value.reason
    assert getattr(caught.value, "keep_seconds", None), "It would hold for ever."


def test_a_decoder_that_got_no_processor_may_soon_be_asked_again() -> None:
    starved = _explain(Ending(-signal.SIGKILL, 1, 1, True)).keep_seconds
    assert starved is not None
    assert starved <= 30


@pytest.mark.parametrize(
    ("ending", "reason", "is_lasting"),
    [
        (Ending(NO_MEMORY, 1, 1, False), "more memory", True),
        (Ending(-signal.SIGABRT, 1, 1, False), "decoder fail", True),
        (Ending(-signal.SIGXCPU, 1, CPU_SECONDS, False), "8 seconds of processor time", False),
        (Ending(-signal.SIGKILL, 1, CPU_SECONDS - 1, True), "too long", False),
        (Ending(-signal.SIGKILL, 1, 1, True), "too busy", False),
        (
            Ending(-signal.SIGKILL, 1, 1, False),
            "try again later",
            False,
        ),  # out of memory, as a rule
        (Ending(-signal.SIGTERM, 1, 1, False), "try again later", False),  # the service stops
        (Ending(-signal.SIGBUS, 1, 1, False), "try again later", False),
        (None, "try again later", False),
    ],
    ids=range(9),
)
def test_only_what_the_file_is_to_blame_for_holds_for_ever(
    ending: Ending | None, reason: str, is_lasting: bool
) -> None:
    error = _explain(ending)
    assert reason in error.reason
    assert (error.keep_seconds is None) == is_lasting
