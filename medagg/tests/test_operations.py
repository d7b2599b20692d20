"""What an operator sees of a real site: its log lines, the ids in them, and /metrics."""

import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from catalog.models import Image
from catalog.previews.local import evict_previews
from catalog.tests.factories import ImageFactory, add_file, make_searchable
from catalog.tests.views.pages import png
from collections_app.models import Collection
from collections_app.tests.conftest import clean_folders  # noqa: F401 - real files are written
from collections_app.tests.factories import (
    build,
    image_file,
    make_collection,
    make_dataset,
    make_ready,
)
from medagg.testing.worker import WorkerProcess
from medagg.tests.deploy.nginx_client import fetch
from medagg.tests.processes import wait_until
from medagg.tests.web_site import WebSite, run_site

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "a-token-for-tests"


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[WebSite]:
    """Two processes for pages, whose counts have to be one."""
    counts = tmp_path / "metrics"
    counts.mkdir()
    with run_site(
        tmp_path, LOG_FORMAT="json", METRICS_TOKEN=TOKEN, PROMETHEUS_MULTIPROC_DIR=str(counts)
    ) as site:
        yield site


def lines_of(path: Path) -> list[dict[str, Any]]:
    """All lines of a log, each of which has to be an object."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def figures_of(site: WebSite) -> dict[str, float]:
    """As `name{label=value}`."""
    answer = fetch(site.port, "/metrics", {"Authorization": f"Bearer {TOKEN}", "Host": "web:8000"})
    assert answer.status == 200, answer.body
    found = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_a_real_site_counts_truly_and_is_not_alarmed_by_strangers(site: WebSite) -> None:
    """In one test, as a site takes seconds to start."""
    check_figures(site)
    check_lines(site)


def check_lines(site: WebSite) -> None:
    before = len(lines_of(site.log))
    assert fetch(site.port, "/", {"Host": "evil.example"}).status == 400
    assert fetch(site.port, "/wp-login.php").status == 404
    lines = lines_of(site.log)[before:]
    bad_host, missing = lines
    assert "Invalid HTTP_HOST header: 'evil.example'" in bad_host["message"]
    assert missing["message"] == "Not Found: /wp-login.php"
    assert {line["level"] for line in lines} == {"INFO"}
    assert not any("traceback" in line for line in lines)
    assert len({line["request_id"] for line in lines}) == 2

    # No worker runs, so the site is not ready.
    assert fetch(site.port, "/readyz/").status == 503
    unready = lines_of(site.log)[-1]
    assert (unready["level"], unready["message"]) == ("WARNING", "Service Unavailable: /readyz/")

    # Nor does what is refused before Django sees it say what was searched for.
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
        client.sendall("GET /images/?q=sarcoïdosis HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert client.recv(20).startswith(b"HTTP/1.1 400 ")
    refused = lines_of(site.log)[-1]
    assert (refused["level"], refused["message"]) == (
        "WARNING",
        "Invalid request: InvalidRequestLine",
    )
    assert "dosis" not in site.log.read_text()

    # The links of mails are secrets, whatever becomes of the request.
    for path in ("/accounts/reset/Mg/a-token/x/", "/accounts/confirm/a-token/"):
        fetch(site.port, path, {"Host": "evil.example"})
        fetch(site.port, path + "more")
    messages = [line["message"] for line in lines_of(site.log)[before + 4 :]]
    assert "Not Found: /accounts/reset/…" in messages
    assert "Not Found: /accounts/confirm/…" in messages
    assert "token" not in " ".join(messages)


def check_figures(site: WebSite) -> None:
    make_dataset()
    picture = ImageFactory()
    add_file(picture, png(), "x.png")
    make_searchable()
    ready = make_ready("dataset=rays&label=normal")
    failed = make_collection("dataset=rays&label=nodule")
    image_file(1).unlink()
    assert build(failed).status == "failed"
    make_collection("dataset=rays")
    for _ in range(10):
        assert fetch(site.port, "/images/").status == 200
    for _ in range(3):
        assert fetch(site.port, f"/images/{picture.pk}/preview/").status == 200
    assert fetch(site.port, f"/images/{Image.objects.earliest('pk').pk}/preview/").status == 404
    kept = evict_previews().kept_bytes

    figures = figures_of(site)
    assert figures["medagg_requests_total{method=GET,status=200,view=image-list}"] == 10
    assert figures["medagg_request_seconds_count{view=image-list}"] == 10
    assert figures["medagg_previews_total{source=rendered}"] == 1
    assert figures["medagg_previews_total{source=cache}"] == 2
    assert figures["medagg_previews_total{source=failed}"] == 1
    assert figures["medagg_preview_cache_bytes"] == kept > 0
    assert figures["medagg_builds{outcome=ready}"] == 1
    assert figures["medagg_builds{outcome=files_missing}"] == 1
    assert figures["medagg_collections{status=pending}"] == 1
    assert figures["medagg_archive_bytes"] == ready.archive_size
    assert figures["medagg_queue_work{queue=builds}"] == 1
    assert figures["medagg_queue_work{queue=verify}"] == 1
    assert 0 < figures["medagg_queue_work_oldest_seconds{queue=verify}"] < 60
    assert figures["medagg_queue_messages{queue=builds}"] >= 1
    # Other tests' messages may wait there too.
    assert figures["medagg_queue_messages_oldest_seconds{queue=builds}"] > 0
    assert figures["medagg_catalog_images"] == Image.objects.count()
    assert figures["medagg_disk_free_bytes{place=archives}"] > 0
    assert figures["medagg_database_up"] == figures["medagg_broker_up"] == 1


def test_a_form_that_breaks_off_is_no_error_of_ours(client: Client) -> None:
    class Broken(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            raise OSError("the client is gone")

    kind = "application/x-www-form-urlencoded"
    broken: dict[str, Any] = {"wsgi.input": Broken()}
    response = client.generic("POST", "/accounts/login/", b"x", kind, **broken)
    assert response.status_code == 400


def test_figures_are_for_who_has_the_token(
    db: None, client: Client, settings: LazySettings
) -> None:
    assert client.get("/metrics").status_code == 404
    settings.METRICS_TOKEN = TOKEN
    for wrong in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Bearer "}):
        response = client.get("/metrics", headers=wrong)
        assert (response.status_code, response.content) == (401, b"")
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert b"medagg_requests_total" in client.get("/metrics", headers=right).content


def test_figures_say_which_server_does_not_answer(client: Client, settings: LazySettings) -> None:
    settings.METRICS_TOKEN = TOKEN
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    text = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    assert "medagg_broker_up 0.0" in text
    assert "medagg_database_up 1.0" in text
    assert "medagg_queue_messages{" not in text


# --- Ids ---
def test_a_response_names_its_request_and_takes_an_id_from_nginx_alone(
    client: Client, settings: LazySettings
) -> None:
    given = {"X-Request-ID": "0123456789abcdef"}
    own = client.get("/healthz/", headers=given)["X-Request-ID"]
    assert len(own) == 32
    settings.X_ACCEL_PREFIX = "/protected/"
    assert client.get("/healthz/", headers=given)["X-Request-ID"] == given["X-Request-ID"]
    for odd in ("short", "x" * 65, "with space 123", "line\u2028break-123"):
        again = client.get("/healthz/", headers={"X-Request-ID": odd})["X-Request-ID"]
        assert len(again) == 32


def test_an_error_page_names_its_request(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("catalog.views.images.count_image_facets", fail)
    client.raise_request_exception = False
    response = client.get("/images/")
    assert response.status_code == 500
    assert response["X-Request-ID"] in response.content.decode()


RAISE = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{}'; END $$"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["", "ada"], ids=["visitor", "user"])
def test_a_page_without_a_database_says_so(
    client: Client, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name:
        client.force_login(get_user_model().objects.create_user(name))
    client.raise_request_exception = False
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "HOST", "/nowhere")
    response = client.get("/datasets/")
    assert (response.status_code, response["Retry-After"]) == (503, "30")
    assert "The database does not answer" in response.content.decode()
    assert response["X-Request-ID"] in response.content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("statement", "status"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", 503),
        ("SELECT pg_sleep(9)", 500),
        # A disk that is full, a pooler without a server, an administrator, a disk that fails.
        *((RAISE.format(code), 503) for code in ("53100", "08006", "57P01", "58030")),
        *((RAISE.format(code), 500) for code in ("40P01", "42P01", "22003")),
    ],
)
def test_a_query_that_is_stopped_is_told_from_a_database_that_is(
    client: Client, monkeypatch: pytest.MonkeyPatch, statement: str, status: int
) -> None:
    def fail(*args: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '100ms'")
            cursor.execute(statement)

    monkeypatch.setattr("catalog.views.images.count_image_facets", fail)
    client.raise_request_exception = False
    assert client.get("/images/").status_code == status
    connection.close()


def test_a_task_logs_the_request_that_asked_for_it(
    client: Client, celery_worker_process: WorkerProcess
) -> None:
    celery_worker_process.restart(LOG_FORMAT="json")
    make_dataset()
    client.force_login(get_user_model().objects.create_user("owner"))
    form = {"title": "T", "expected_images": "2", "filters": "dataset=rays&label=normal"}
    response = client.post("/collections/new/", form)
    assert response.status_code == 302, response.content
    wait_until(lambda: Collection.objects.get().status == "ready", what="the build")

    def find_lines() -> list[dict[str, Any]]:
        whole = celery_worker_process.log.rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in lines if line.get("request_id") == response["X-Request-ID"]]

    wait_until(lambda: bool(find_lines()), what="a line with the request's id")
    (line,) = (line for line in find_lines() if "build_collection_task" in line["message"])
    assert "succeeded" in line["message"]
    assert line["task_id"]
    # The arguments of a task may be somebody's address.
    assert set(line) == {"level", "logger", "message", "time", "request_id", "task_id"}
