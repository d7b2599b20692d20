"""/healthz/ and /readyz/."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat, takewhile
from typing import Any

import pytest
import redis
from django.conf import LazySettings
from django.conf import settings as conf
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from pytest_django.live_server_helper import LiveServer

from collections_app.tests.storage.conftest import NAME, PREFIX
from medagg.observing.health import RecentLook, recent_look, recent_look_at_archives
from medagg.observing.worker_heartbeat import ALIVE_SECONDS, QUEUES, heartbeat_key
from medagg.runner.serving import _find_trouble
from medagg.testing.s3 import S3Server
from medagg.testing.worker import WorkerProcess
from medagg.tests.processes import wait_until


@pytest.fixture(autouse=True)
def look_anew() -> None:
    recent_look.forget()
    recent_look_at_archives.forget()


@pytest.fixture
def heartbeats() -> redis.Redis:
    """As workers leave them that serve all queues."""
    client = redis.Redis.from_url(conf.REDIS_URL)
    for queue in QUEUES:
        client.set(heartbeat_key(queue), 1, ex=ALIVE_SECONDS)
    return client


def test_the_process_answers_without_any_server(client: Client) -> None:
    assert client.get("/healthz/").content == b"ok\n"


@pytest.mark.django_db
def test_all_parts_serve(client: Client, heartbeats: redis.Redis) -> None:
    response = client.get("/readyz/")
    assert response.json() == {
        "status": "ok",
        "broken": [],
        "parts": {"database": "ok", "broker": "ok", "worker": "ok", "migrations": "ok"},
    }


@pytest.mark.django_db
def test_a_queue_that_no_worker_serves_is_named(client: Client, heartbeats: redis.Redis) -> None:
    heartbeats.delete(heartbeat_key("builds"))
    response = client.get("/readyz/")
    assert (response.status_code, response.json()["broken"]) == (503, ["worker"])
    assert response.json()["parts"]["worker"] == "no worker serves: builds"


@pytest.mark.django_db
def test_a_broker_that_does_not_answer_is_named(client: Client, settings: LazySettings) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    response = client.get("/readyz/")
    assert (response.status_code, response.json()["broken"]) == (503, ["broker"])


@pytest.mark.django_db
def test_migrations_that_are_missing_are_named(client: Client, heartbeats: redis.Redis) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'collections_app'")
    response = client.get("/readyz/")
    assert (response.status_code, response.json()["broken"]) == (503, ["migrations"])
    assert "run manage.py migrate" in response.json()["parts"]["migrations"]


@pytest.mark.django_db
def test_to_ask_again_and_again_costs_nothing(
    client: Client,
    heartbeats: redis.Redis,
    django_assert_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Those of this process: other tests ask the same server at the same time.
    asked: list[Any] = []
    send: Any = redis.connection.AbstractConnection.send_packed_command

    def count(self: Any, command: Any, **options: Any) -> None:
        asked.append(command)
        send(self, command, **options)

    monkeypatch.setattr(redis.connection.AbstractConnection, "send_packed_command", count)
    assert client.get("/readyz/").status_code == 200
    assert asked
    asked.clear()
    with django_assert_num_queries(0):
        assert {client.get("/readyz/").status_code for _ in range(200)} == {200}
    assert len(asked) < 200


def test_a_real_worker_leaves_heartbeats(celery_worker_process: WorkerProcess) -> None:
    client = redis.Redis.from_url(conf.REDIS_URL)
    keys = [heartbeat_key(queue) for queue in QUEUES]
    client.delete(*keys)
    celery_worker_process.restart()
    assert all(0 < client.ttl(key) <= ALIVE_SECONDS for key in keys)


@pytest.fixture
def archive_bucket(s3: S3Server, settings: LazySettings) -> Iterator[S3Server]:
    """A bucket in which archives are kept."""
    s3.client.create_bucket(Bucket=NAME)
    settings.ARCHIVE_STORAGE = f"s3://{NAME}/{PREFIX}"
    settings.ARCHIVE_S3_ENDPOINT = s3.endpoint
    settings.ARCHIVE_S3_ACCESS_KEY_ID, settings.ARCHIVE_S3_SECRET_ACCESS_KEY = "key", "secret"
    yield s3
    with suppress(s3.client.exceptions.NoSuchBucket):
        s3.client.delete_bucket(Bucket=NAME)


@pytest.mark.django_db
def test_a_bucket_of_archives_that_does_not_serve_is_named(
    client: Client,
    heartbeats: redis.Redis,
    archive_bucket: S3Server,
    settings: LazySettings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = client.get("/readyz/")
    assert (response.status_code, response.json()["parts"]["archives"]) == (200, "ok")

    def ask_again() -> str:
        recent_look.forget()
        recent_look_at_archives.forget()
        response = client.get("/readyz/")
        assert (response.status_code, response.json()["broken"]) == (503, ["archives"])
        return response.json()["parts"]["archives"]

    archive_bucket.faults.status[f"/{NAME}"] = 403
    assert "refuses medagg's keys" in ask_again()
    archive_bucket.faults.status[f"/{NAME}"] = 503
    assert "too busy" in ask_again()
    archive_bucket.faults.status.clear()
    archive_bucket.faults.redirect[f"/{NAME}"] = f"{archive_bucket.endpoint}/{NAME}"
    archive_bucket.requests.clear()
    assert "does not do what it is asked to" in ask_again()
    assert len(archive_bucket.requests) == 1, "it is not followed"
    archive_bucket.faults.redirect.clear()
    archive_bucket.client.delete_bucket(Bucket=NAME)
    assert "does not exist" in ask_again()
    settings.ARCHIVE_S3_ENDPOINT = "http://127.0.0.1:1"
    assert "does not answer" in ask_again()
    assert (
        "archives cannot be kept or downloaded: the object storage does not answer" in caplog.text
    )
    settings.ARCHIVE_STORAGE = ""
    recent_look.forget()
    assert client.get("/readyz/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_site_starts_without_the_bucket_of_its_archives(
    heartbeats: redis.Redis,
    archive_bucket: S3Server,
    settings: LazySettings,
    live_server: LiveServer,
) -> None:
    settings.ARCHIVE_S3_ENDPOINT = "http://127.0.0.1:1"
    server = live_server.thread
    assert _find_trouble((server.host, server.port)) == ""

    def is_missed() -> bool:
        recent_look.forget()
        # A worker of another test may have left another heartbeat meanwhile.
        heartbeats.delete(heartbeat_key("builds"))
        return "no worker serves: builds" in _find_trouble((server.host, server.port))

    wait_until(is_missed, what="the site to miss its worker")


def test_nobody_waits_for_the_look_of_another_once_there_was_one() -> None:
    """Each who waits takes a thread from pages."""
    goes_on, has_begun = threading.Event(), threading.Event()

    def check() -> dict[str, str]:
        has_begun.set()
        goes_on.wait(20)
        return {"archives": "does not answer"}

    goes_on.set()
    look = RecentLook(check, 0.0, 0.0)
    first = look.look()
    goes_on.clear()
    has_begun.clear()
    other = threading.Thread(target=look.look)
    other.start()
    assert has_begun.wait(10)
    assert look.look() == first
    assert other.is_alive(), "it did not wait for the other one"
    goes_on.set()
    other.join()


@contextmanager
def answers_as(body: Iterator[bytes], length: int) -> Iterator[str]:
    """The address of a server that answers everything with this body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            with suppress(OSError):
                for part in body:
                    self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.django_db
def test_a_bucket_that_drips_is_not_waited_for_and_an_empty_answer_is_none(
    client: Client, heartbeats: redis.Redis, archive_bucket: S3Server, settings: LazySettings
) -> None:
    with answers_as(iter(()), 0) as settings.ARCHIVE_S3_ENDPOINT:
        parts = client.get("/readyz/").json()["parts"]
        assert "does not do what it is asked to" in parts["archives"]
    recent_look.forget()
    recent_look_at_archives.forget()
    is_over = threading.Event()
    dripping = (b" " for _ in takewhile(lambda _: not is_over.wait(0.2), repeat(None)))
    with answers_as(dripping, 10_000) as settings.ARCHIVE_S3_ENDPOINT:
        start = time.monotonic()
        parts = client.get("/readyz/").json()["parts"]
        assert "does not answer in time" in parts["archives"]
        assert time.monotonic() - start < 12
        is_over.set()
