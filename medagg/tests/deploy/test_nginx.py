"""Archives behind a real nginx: X-Accel-Redirect, ranges, resuming, and what must stay shut."""

import hashlib
import http.client
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from medagg.testing.nginx import NginxFactory, NginxServer, check_configuration
from medagg.tests.deploy.nginx_client import Answer, fetch, serve_with_gunicorn

SIZE = 5_000_001
CONTENT = random.Random(2).randbytes(SIZE)
NAME = "0197d1a2.4f6e.zip"


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with serve_with_gunicorn("medagg.tests.deploy.nginx_upstream") as port:
        yield port


@dataclass(frozen=True)
class Site:
    server: NginxServer
    archives: Path
    datasets: Path

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return fetch(self.server.port, path, names, method=method)

    def download(self, **headers: str) -> Answer:
        return self.get(f"/archive/{NAME}", **headers)


@pytest.fixture
def site(upstream: int, nginx_server: NginxFactory, tmp_path: Path) -> Site:
    archives = tmp_path / "archives"
    archives.mkdir()
    (archives / NAME).write_bytes(CONTENT)
    datasets = tmp_path / "datasets"
    datasets.mkdir()
    (tmp_path / "secret").write_text("kept", encoding="utf-8")
    server = nginx_server(upstream_port=upstream, archive_root=archives, dataset_root=datasets)
    return Site(server, archives, datasets)


def test_nginx_accepts_the_configuration_without_a_warning(site: Site) -> None:
    assert check_configuration(site.server) == ""


def test_archive_arrives_whole(site: Site) -> None:
    answer = site.download()

    assert answer.status == 200
    assert answer.body == CONTENT
    assert answer.headers["Content-Length"] == str(SIZE)


def test_archive_keeps_the_headers_that_medagg_gave_it(site: Site) -> None:
    headers = site.download().headers

    assert headers["Content-Type"] == "application/zip"
    assert headers["Content-Disposition"] == 'attachment; filename="chest-x-rays.zip"'
    assert headers["Cache-Control"] == "private, no-cache"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Encoding"] is None


def test_answer_tells_nothing_of_where_the_archive_lies(site: Site) -> None:
    answer = site.download()

    assert answer.headers["X-Accel-Redirect"] is None
    assert str(site.archives) not in str(answer.headers)
    assert answer.headers["Server"] == "nginx"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-1999", 1000, 2000),
        ("bytes=4999990-", 4_999_990, SIZE),
        ("bytes=-10", SIZE - 10, SIZE),
        ("bytes=-9999999", 0, SIZE),
        ("bytes=4999990-9999999", 4_999_990, SIZE),
    ],
)
def test_one_range_is_sent(site: Site, asked: str, start: int, stop: int) -> None:
    answer = site.download(Range=asked)

    assert answer.status == 206
    assert answer.body == CONTENT[start:stop]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"


@pytest.mark.parametrize("asked", ["bytes=0-9,20-29", "lines=1-2"])
def test_what_is_not_one_range_of_bytes_gets_the_whole(site: Site, asked: str) -> None:
    answer = site.download(Range=asked)

    assert (answer.status, answer.body) == (200, CONTENT)


def test_range_behind_the_end_is_refused_with_the_size(site: Site) -> None:
    answer = site.download(Range=f"bytes={SIZE}-")

    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


def test_range_is_sent_if_the_archive_is_still_the_same(site: Site) -> None:
    etag = site.download().headers["ETag"]

    assert site.download(Range="bytes=5-9", If_Range=etag).body == CONTENT[5:10]


def test_whole_archive_is_sent_if_another_one_was_meant(site: Site) -> None:
    answer = site.download(Range="bytes=5-9", If_Range='"of-yesterday"')

    assert (answer.status, answer.body) == (200, CONTENT)


def test_archive_that_the_client_has_is_not_sent_again(site: Site) -> None:
    etag = site.download().headers["ETag"]
    answer = site.download(If_None_Match=etag)

    assert (answer.status, answer.body) == (304, b"")


def test_head_tells_the_size_and_sends_nothing(site: Site) -> None:
    answer = site.get(f"/archive/{NAME}", method="HEAD")

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_broken_download_resumes_to_the_right_bytes(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=20)
    with closing(connection):
        connection.request("GET", f"/archive/{NAME}")
        response = connection.getresponse()
        etag, first_part = response.headers["ETag"], response.read(1_234_567)
    rest = site.download(Range=f"bytes={len(first_part)}-", If_Range=etag)

    assert rest.status == 206
    digest = hashlib.sha256(first_part + rest.body).hexdigest()
    assert digest == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("name", ["a b.zip", "50 %.zip", "größe.zip", "a+b&c=d.zip", "q?x#y.zip"])
def test_any_file_name_is_found(site: Site, name: str) -> None:
    (site.archives / name).write_bytes(b"odd name")
    quoted = "".join(f"%{byte:02X}" for byte in name.encode())

    assert site.get(f"/archive/{quoted}").body == b"odd name"


def test_archive_that_is_gone_is_not_found(site: Site) -> None:
    assert site.get("/archive/deleted.zip").status == 404


@pytest.mark.parametrize(
    "path",
    [
        f"/protected/{NAME}",
        f"//protected//{NAME}",
        f"/%70rotected/{NAME}",
        f"/x/../protected/{NAME}",
        f"/x/%2e%2e/protected/{NAME}",
        "/protected/",
        "/protected/../protected/" + NAME,
        "/protected/%2e%2e/secret",
    ],
)
def test_archives_are_out_of_reach_without_medagg(site: Site, path: str) -> None:
    answer = site.get(path)

    assert answer.status == 404 or answer.seen["path"] == path
    assert CONTENT[:1000] not in answer.body
    assert b"kept" not in answer.body


def test_client_cannot_name_the_file_itself(site: Site) -> None:
    answer = site.get("/denied", X_Accel_Redirect=f"/protected/{NAME}")

    assert (answer.status, answer.body) == (403, b"not yours")


@pytest.mark.parametrize("kind", ["raw", "raw-file"])
@pytest.mark.parametrize("name", ["../secret", "%2e%2e/secret", "x/../../secret"])
def test_even_medagg_cannot_send_what_lies_elsewhere(site: Site, kind: str, name: str) -> None:
    quoted = name.replace("%", "%25")
    answer = site.get(f"/{kind}/{quoted}")

    assert answer.status >= 400
    assert b"kept" not in answer.body


def test_link_among_the_archives_is_not_followed(site: Site) -> None:
    (site.archives / "link.zip").symlink_to(site.archives.parent / "secret")
    answer = site.get("/archive/link.zip")

    assert answer.status == 403
    assert b"kept" not in answer.body


def test_file_of_a_dataset_that_was_replaced_by_a_link_is_not_sent(site: Site) -> None:
    (site.datasets / "rays").mkdir()
    (site.datasets / "rays" / "scan.png").write_bytes(CONTENT)
    assert site.get("/raw-file/rays/scan.png").body == CONTENT

    (site.datasets / "rays" / "link.png").symlink_to("scan.png")
    (site.datasets / "rays" / "secret.png").symlink_to(site.datasets.parent / "secret")
    (site.datasets / "folder").symlink_to(site.datasets.parent)
    for name in ("rays/link.png", "rays/secret.png", "folder/secret"):
        answer = site.get(f"/raw-file/{name}")
        assert answer.status in (403, 404)
        assert b"kept" not in answer.body
