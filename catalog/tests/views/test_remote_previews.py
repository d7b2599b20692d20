"""Previews of series that lie elsewhere: a worker makes them of one file, from a real S3 server."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import redis
from django.conf import LazySettings
from django.db import connection
from django.test import Client

from catalog.imaging.decoding.decoder import UNCLEAR_SECONDS
from catalog.models import Image
from catalog.previews import elsewhere as remote_previews
from catalog.storage.broker import broker_turns
from catalog.tasks import make_remote_previews_task
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.imaging.dicom_files import make_dicom
from medagg.celery import app
from medagg.testing.s3 import BUCKET, S3Server
from vocab.tests.factories import ModalityFactory

pytestmark = pytest.mark.django_db
MIDDLE = "uuid-0/02.dcm"


@pytest.fixture(autouse=True)
def empty_queue() -> Iterator[None]:
    app.control.purge()
    yield
    app.control.purge()


class HangingServer:
    """The kernel takes connections for it, and nobody answers."""

    def __init__(self, listener: socket.socket) -> None:
        self.url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        self._listener = listener

    def count_connections(self) -> int:
        self._listener.setblocking(False)
        number = 0
        with suppress(BlockingIOError):
            while True:
                self._listener.accept()[0].close()
                number += 1
        return number


@pytest.fixture
def hanging_server() -> Iterator[HangingServer]:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield HangingServer(listener)


def slice_of(number: int) -> bytes:
    pixels = np.full((40, 60), 100 * number, np.uint16)
    pixels[10:20] = 3000
    return make_dicom(pixels, PatientName="Secret^Name")


def make_series(s3: S3Server, number: int = 0, *, slices: int = 5, **fields: Any) -> Image:
    for each in range(slices):
        s3.put(f"uuid-{number}/{each:02}.dcm", slice_of(each))
    image: Image = ImageFactory(
        source_id=f"1.2.{number}",
        size_bytes=12_345_678,
        **{
            "modality": ModalityFactory(code="ct"),
            "remote_url": f"s3://{BUCKET}/uuid-{number}/*",
            **fields,
        },
    )
    make_searchable()
    return image


def address(image: Image, size: str = "small") -> str:
    return f"/images/{image.pk}/preview/?size={size}"


def waiting(settings: LazySettings) -> int:
    """The tasks in the queue that wait behind all others."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        return int(client.llen("default\x06\x169"))


def objects_of(s3: S3Server) -> list[str]:
    return [path for path in s3.requests if path.split("?")[0].endswith(".dcm")]


def test_a_worker_makes_it_of_the_file_in_the_middle(
    client: Client, s3: S3Server, settings: LazySettings
) -> None:
    image = make_series(s3)
    first = client.get(address(image))
    assert (first.status_code, first.headers["Retry-After"]) == (202, "2")
    assert first.headers["Cache-Control"] == "no-store"
    assert s3.requests == [], "no request fetches"
    assert waiting(settings) == 1
    assert "it is being made" in client.get(f"/images/{image.pk}/preview/notes/").content.decode()

    make_remote_previews_task(image.pk)

    assert [path.split("?")[0] for path in objects_of(s3)] == [f"/{BUCKET}/{MIDDLE}"]
    for size in ("small", "large"):
        shown = client.get(address(image, size))
        assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/webp")
        assert b"Secret" not in shown.content
        etag = {"If-None-Match": shown.headers["ETag"]}
        assert client.get(address(image, size), headers=etag).status_code == 304
    page = client.get(f"/images/{image.pk}/").content.decode()
    assert "File 3 of 5 of the series is shown." in page
    assert "Secret" not in page
    make_remote_previews_task(image.pk)
    assert len(objects_of(s3)) == 1
    assert waiting(settings) == 1


def test_a_page_of_the_grid_has_facts_and_asks_for_the_picture(
    client: Client, s3: S3Server, settings: LazySettings
) -> None:
    image = make_series(s3)
    listed = make_series(s3, 1, remote_url="s3://another-bucket/uuid-1/*")
    page = client.get("/images/").content.decode()
    assert page.count("Elsewhere · 12.3 MB") == 2
    assert address(image) in page
    assert address(listed) not in page
    assert client.get(address(listed)).status_code == 404
    assert waiting(settings) == 0


@pytest.mark.django_db(transaction=True)
def test_equal_requests_at_a_time_ask_once(s3: S3Server, settings: LazySettings) -> None:
    image = make_series(s3)
    barrier = threading.Barrier(6)
    answers: list[int] = []

    def ask() -> None:
        barrier.wait()
        answers.append(Client().get(address(image)).status_code)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [202] * 6
    assert waiting(settings) == 1


def test_what_waits_too_long_is_dropped_and_may_be_asked_for_again(
    client: Client, s3: S3Server, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_series(s3)
    client.get(address(image))
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        (message,) = broker.lrange("default\x06\x169", 0, -1)
    assert b'"expires": "' in message
    monkeypatch.setattr(remote_previews, "_MARK_SECONDS", 0)
    assert client.get(address(image)).status_code == 202
    assert waiting(settings) == 2


def test_what_was_asked_for_before_the_clock_was_set_back_may_be_asked_for_again(
    client: Client, s3: S3Server, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_series(s3)
    client.get(address(image))
    earlier = time.time() - 3600
    with monkeypatch.context() as patch:
        patch.setattr("catalog.previews.elsewhere.time.time", lambda: earlier)
        assert client.get(address(image)).status_code == 202
    assert waiting(settings) == 2


@pytest.mark.parametrize(
    ("fault", "said", "lasts"),
    [
        ("gone", "The source has no files at its address any more", True),
        ("forbidden", "does not give it out (forbidden)", True),
        ("busy", "the source is too busy", False),
        ("cut", "connection to the source failed", False),
        ("slow", "connection to the source failed", False),
        ("longer", "longer than was listed", True),
        ("redirected", "The source sends elsewhere, which is not followed", True),
        ("large", "are fetched", True),
        ("no picture", "", True),
    ],
)
def test_what_cannot_be_had_is_said_and_remembered(
    client: Client,
    s3: S3Server,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    said: str,
    lasts: bool,
) -> None:
    monkeypatch.setattr(remote_previews, "REQUEST_SECONDS", 1)
    image = make_series(s3)
    if fault == "gone":
        s3.reset()
    if fault == "no picture":
        s3.put(MIDDLE, b"something else")
    if fault == "large":
        settings.REMOTE_PREVIEW_MAX_BYTES = 1000
    s3.put("other.dcm", slice_of(4))
    s3.faults.status |= {"forbidden": {MIDDLE: 403}, "busy": {MIDDLE: 503}}.get(fault, {})
    s3.faults.cut |= {MIDDLE: 100} if fault == "cut" else {}
    s3.faults.pause |= {MIDDLE: 0.3} if fault == "slow" else {}
    s3.faults.shorter |= {MIDDLE: 100} if fault == "longer" else {}
    s3.faults.redirect |= (
        {MIDDLE: f"{s3.endpoint}/{BUCKET}/other.dcm"} if fault == "redirected" else {}
    )
    assert client.get(address(image)).status_code == 202

    make_remote_previews_task(image.pk)

    s3.faults.__init__()  # type: ignore[misc]
    s3.requests.clear()
    answer = client.get(address(image))
    assert answer.status_code == 404
    assert said.casefold() in answer.content.decode().casefold()
    notes = client.get(f"/images/{image.pk}/preview/notes/").content.decode()
    assert "No preview: " in notes
    assert "delay" not in notes
    make_remote_previews_task(image.pk)
    assert s3.requests == []
    assert waiting(settings) == 1
    later = time.time() + UNCLEAR_SECONDS + 1
    monkeypatch.setattr("catalog.previews.local.time.time", lambda: later)
    assert client.get(address(image)).status_code == (404 if lasts else 202)


def test_visitors_have_only_so_many_fetched(
    client: Client, s3: S3Server, settings: LazySettings
) -> None:
    settings.REMOTE_PREVIEWS_PER_CLIENT, settings.REMOTE_PREVIEWS_PER_MINUTE = 2, 3
    images = [make_series(s3, number, slices=0) for number in range(6)]
    statuses = [client.get(address(image)).status_code for image in images[:3]]
    assert statuses == [202, 202, 429]
    assert client.get(address(images[0])).status_code == 202, "asking again fetches nothing"
    refused = client.get(address(images[2]))
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    other = Client(REMOTE_ADDR="127.0.0.9")
    assert [other.get(address(image)).status_code for image in images[2:5]] == [202, 429, 429]
    assert waiting(settings) == 3


def test_nothing_is_fetched_of_what_is_no_picture_or_not_shown_or_not_wanted(
    client: Client, s3: S3Server, settings: LazySettings
) -> None:
    report = make_series(s3, modality=ModalityFactory(code="sr", kind="report"))
    hidden = make_series(s3, 1, dataset=DatasetFactory(is_active=False))
    shown = make_series(s3, 2)
    assert client.get(address(report)).status_code == 404
    assert client.get(address(hidden)).status_code == 404
    settings.REMOTE_PREVIEW_MAX_BYTES = 0
    assert client.get(address(shown)).status_code == 404
    assert "preview/" not in client.get(f"/images/{shown.pk}/").content.decode()
    for image in (report, shown):
        make_remote_previews_task(image.pk)
    assert s3.requests == []
    assert waiting(settings) == 0


def test_a_broker_that_does_not_answer_is_said(
    client: Client, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_series(s3)
    with monkeypatch.context() as patch:
        patch.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
        answer = client.get(address(image))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert client.get(address(image)).status_code == 503, "it is left alone for a while"
    broker_turns.forget()
    assert client.get(address(image)).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_hangs_holds_one_thread(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, hanging_server: HangingServer
) -> None:
    images = [make_series(s3, number, slices=0) for number in range(6)]
    answers: list[int] = []

    def ask(image: Image) -> None:
        answers.append(Client().get(address(image)).status_code)
        connection.close()

    threads = [threading.Thread(target=ask, args=[image]) for image in images]
    with monkeypatch.context() as patch:
        patch.setattr(app.conf, "broker_write_url", hanging_server.url)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [503] * 6
    assert hanging_server.count_connections() <= 2, "one thread, and one more attempt"


def test_pictures_wait_behind_all_other_tasks_and_not_without_end(
    client: Client, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.views.remote_previews.MOST_WAITING", 2)
    images = [make_series(s3, number, slices=0) for number in range(3)]
    assert [client.get(address(image)).status_code for image in images] == [202, 202, 503]
    app.send_task("medagg.tasks.clear_sessions_task")
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        first = channel.basic_get("default")
    assert first.headers["task"] == "medagg.tasks.clear_sessions_task"
    assert client.get(address(images[2])).status_code == 503, "it can be asked for again"


def test_a_disk_without_room_has_nothing_fetched(
    client: Client, s3: S3Server, settings: LazySettings
) -> None:
    image = make_series(s3)
    settings.PREVIEW_RESERVE_BYTES = 1 << 60
    answer = client.get(address(image))
    assert answer.status_code == 404
    assert "no room" in answer.content.decode()
    assert waiting(settings) == 0


def test_what_the_idc_has_moved_is_told_with_the_release_of_its_address(
    client: Client, s3: S3Server
) -> None:
    dataset = DatasetFactory(imported_json={"idc_release": "25"})
    image = make_series(s3, slices=0, dataset=dataset)
    assert client.get(address(image)).status_code == 202

    make_remote_previews_task(image.pk)

    page = client.get(f"/images/{image.pk}/").content.decode()
    assert "in release 25 of the Imaging Data Commons" in page
    why = client.get(f"/images/{image.pk}/preview/notes/").content.decode()
    assert "It is no longer at its address of IDC release 25; import_idc with a newer" in why
