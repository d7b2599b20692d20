"""Addresses of datasets are asked politely, and pages say when they were last seen."""

import csv
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from catalog.management import links
from catalog.models import Dataset, LinkCheck
from catalog.storage.guarded_http import make_pool, refuse_private
from catalog.tests.factories import DatasetFactory

pytestmark = pytest.mark.django_db(transaction=True)


class Site(ThreadingHTTPServer):
    """Answers with the status that the path names, and notes what it was asked, and when."""

    asked: list[tuple[float, str, str, str]]


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_HEAD(self) -> None:
        agent = self.headers["User-Agent"]
        self.server.asked.append((time.monotonic(), self.command, self.path, agent))
        status = int(self.path.strip("/").split("-")[0])
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/302-loop" if "loop" in self.path else "/200-moved")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = Site(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Handler.server = server
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def check(*arguments: str, private: bool = True) -> str:
    out = StringIO()
    more = ["--allow-private"] if private else []
    call_command("check_links", *arguments, "--pause", "0.05", *more, stdout=out)
    return out.getvalue()


def page_of(slug: str) -> str:
    return Client().get(f"/datasets/{slug}/").content.decode()


def test_answers_are_kept_reported_and_shown(site: str, tmp_path: Path) -> None:
    paths = {"good": "/200", "moved": "/302", "gone": "/404", "shy": "/403", "loop": "/302-loop"}
    for slug, path in paths.items():
        DatasetFactory(slug=slug, source_url=site + path)
    DatasetFactory(slug="nowhere", source_url="http://127.0.0.1:1/x")
    DatasetFactory(slug="none")

    versions = dict(Dataset.objects.values_list("slug", "version"))
    said = check("--report", str(tmp_path / "links.csv"))

    problems = dict(LinkCheck.objects.values_list("dataset__slug", "problem"))
    assert {slug for slug, problem in problems.items() if not problem} == {"good", "moved", "shy"}
    assert problems["gone"] == "It answers with the status 404."
    assert problems["nowhere"] == "It could not be reached."
    assert "more than 6 times" in problems["loop"]
    assert "none" not in problems
    assert "shy" in said
    assert "6 addresses asked, 3 did not answer well" in said
    with (tmp_path / "links.csv").open() as file:
        rows = {line["dataset"]: line for line in csv.DictReader(file)}
    assert rows["shy"]["note"] == "answers programs with 403"
    assert "last seen" in page_of("good")
    assert "did not answer on" in page_of("gone")
    assert "last seen" not in page_of("none")
    assert dict(Dataset.objects.values_list("slug", "version")) == versions, "It is no change."


def test_it_is_polite(site: str) -> None:
    for number in range(4):
        DatasetFactory(source_url=f"{site}/200-{number}")
    check()
    asked = Handler.server.asked
    assert {method for _, method, _, _ in asked} == {"HEAD"}
    assert all("medagg" in agent for *_, agent in asked)
    times = [at for at, *_ in asked]
    pauses = [after - before for before, after in pairwise(times)]
    assert min(pauses) >= 0.05, "Requests to one host wait for each other."


def test_an_address_that_failed_says_when_it_was_seen(site: str) -> None:
    dataset = DatasetFactory(slug="mine", source_url=f"{site}/200")
    check()
    seen = LinkCheck.objects.get().seen_at
    LinkCheck.objects.update(url=f"{site}/500")
    Dataset.objects.filter(pk=dataset.pk).update(source_url=f"{site}/500")
    check("mine")
    assert LinkCheck.objects.get().seen_at == seen
    assert "last seen" in page_of("mine")
    # Another address was never seen.
    Dataset.objects.filter(pk=dataset.pk).update(source_url=f"{site}/404")
    assert "did not answer" not in page_of("mine")
    check("mine")
    assert LinkCheck.objects.get().seen_at is None


def test_private_addresses_are_not_asked_unless_wanted(site: str) -> None:
    DatasetFactory(slug="inside", source_url=f"{site}/200")
    assert "private network" in check(private=False)
    assert not Handler.server.asked


def test_an_unknown_dataset_is_said() -> None:
    with pytest.raises(CommandError, match="no-such"):
        check("no-such")


def test_an_address_is_asked_as_it_was_checked(site: str) -> None:
    # Some parsers find the second host in it, which is public; urllib3 asks the first.
    DatasetFactory(slug="two-faced", source_url=f"{site}\\@1.1.1.1/200")
    DatasetFactory(slug="redirected", source_url=f"{site}/200")

    said = check(private=False)

    assert Handler.server.asked == []
    assert said.count("a private network") == 2


def test_a_connection_looks_at_where_it_leads(site: str) -> None:
    # As after a check for which the name had another address.
    pool = make_pool(allow_private=False, seconds=5, agent="test")
    with pytest.raises(ValueError, match="private network"):
        pool.request("HEAD", f"{site}/200")
    assert Handler.server.asked == []


@pytest.mark.parametrize(
    ("address", "is_public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("64:ff9b::101:101", True),
        ("127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::7f00:1", False),
        ("2002:7f00:1::", False),
        ("::127.0.0.1", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("fe80::1%2", False),
    ],
)
def test_private_addresses_in_any_dress_are_refused(address: str, is_public: bool) -> None:
    with nullcontext() if is_public else pytest.raises(ValueError, match="private"):
        refuse_private(address)


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "TIMEOUT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=[listener], daemon=True).start()
        DatasetFactory(slug="slow", source_url=f"http://127.0.0.1:{listener.getsockname()[1]}/")
        began = time.monotonic()
        assert "1 addresses asked" in check()
    assert time.monotonic() - began < 3


def drip(listener: socket.socket) -> None:
    """A header that goes on for eight seconds, a letter at a time."""
    connection, _ = listener.accept()
    with connection, suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        for _ in range(40):
            connection.sendall(b"a")
            time.sleep(0.2)
