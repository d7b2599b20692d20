"""Downloads broken off in the middle, from the site as it is served; one of more than 2 GB.

Each test runs twice: gunicorn alone, as `manage.py up` starts it, and behind a real nginx.
"""

import contextlib
import filecmp
import hashlib
import http.client
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Page

from collections_app.models import Collection
from collections_app.services import delete_collection, expire_collection
from collections_app.storage import archive_file
from collections_app.tests.ready_archives import make_ready_collection, sign_in, write_large_file
from medagg.testing.nginx import find_nginx, run_nginx
from medagg.testing.programs import ProgramUnavailableError, require_program
from medagg.tests.cutting_proxy import CuttingProxy, cut_connections
from medagg.tests.deploy.nginx_client import fetch
from medagg.tests.processes import wait_until
from medagg.tests.web_site import run_site

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

# Beyond what 31 bits hold, and no whole number of blocks. Which client asks for it makes no
# difference to the server, so that one client is enough, where the bytes are sent by our own code.
BIG = (2 << 30) + 123_457
ORDINARY = (64 << 20) + 123_457


@dataclass(frozen=True)
class Big:
    """The port of each way to the archives; 0 where there is no nginx."""

    ports: dict[str, int]


@pytest.fixture(scope="module")
def big(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Big]:
    folder = tmp_path_factory.mktemp("big")
    settings.ARCHIVE_ROOT.mkdir(parents=True, exist_ok=True)
    path, ordinary = archive_file("big.zip"), archive_file("ordinary.zip")
    with contextlib.ExitStack() as stack:
        stack.callback(path.unlink, missing_ok=True)
        stack.callback(ordinary.unlink, missing_ok=True)
        write_large_file(path, BIG)
        write_large_file(ordinary, ORDINARY)
        ports = {"alone": stack.enter_context(run_site(folder)).port, "nginx": 0}
        with contextlib.suppress(ProgramUnavailableError):  # the tests say so
            program = find_nginx()
            (folder / "nginx").mkdir()
            behind = stack.enter_context(run_site(folder, behind_nginx=True, workers=1))
            server = run_nginx(
                program=program,
                upstream=f"127.0.0.1:{behind.port}",
                archive_root=settings.ARCHIVE_ROOT,
                folder=folder / "nginx",
            )
            ports["nginx"] = stack.enter_context(server).port
        yield Big(ports)


@pytest.fixture(params=["alone", "nginx"])
def port(request: pytest.FixtureRequest, big: Big) -> int:
    """Of the site, in one way and in the other."""
    if not big.ports[request.param]:
        require_program("nginx")
    return big.ports[request.param]


@pytest.fixture
def ordinary(transactional_db: None, big: Big) -> Collection:
    return make_ready_collection(name="ordinary.zip", slug="rays")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "download.zip"
    yield path
    path.unlink(missing_ok=True)


def address(port: int, collection: Collection) -> str:
    return f"http://127.0.0.1:{port}/collections/{collection.uuid}/download/"


def is_whole(path: Path, name: str) -> bool:
    """Whether the file is the archive ``name``; comparing takes less time than a digest."""
    return filecmp.cmp(path, archive_file(name), shallow=False)


def ranges(proxy: CuttingProxy) -> list[str]:
    """What the requests for a part asked for."""
    found = (re.search(r"^Range: (\S+)", head, re.IGNORECASE | re.MULTILINE)
             for head in proxy.requests)  # fmt: skip
    return [match[1] for match in found if match]


def test_curl_goes_on_where_the_connection_broke(
    port: int, big: Big, transactional_db: None, target: Path
) -> None:
    curl = require_program("curl")
    name, size = ("big.zip", BIG) if port == big.ports["alone"] else ("ordinary.zip", ORDINARY)
    collection = make_ready_collection(name=name)
    with cut_connections(port, size // 2) as proxy:
        command = [curl, "--silent", "--fail", "--header", f"Cookie: {sign_in(collection.user)}",
                   "-C", "-", "--output", str(target), address(proxy.port, collection)]  # fmt: skip
        broken = subprocess.run(command, check=False, timeout=60)
        got = target.stat().st_size
        assert broken.returncode == 18  # a part of the file
        assert 0 < got < size
        subprocess.run(command, check=True, timeout=60)
        assert ranges(proxy) == [f"bytes={got}-"]
    assert is_whole(target, name)


def test_wget_goes_on_after_it_was_killed(
    port: int, big: Big, ordinary: Collection, target: Path
) -> None:
    wget = require_program("wget")
    command = [wget, "--no-verbose", "--server-response", "--continue",
               f"--header=Cookie: {sign_in(ordinary.user)}",
               f"--output-document={target}", address(port, ordinary)]  # fmt: skip
    process = subprocess.Popen([*command, "--limit-rate=50m"], stderr=subprocess.DEVNULL)
    wait_until(lambda: target.exists() and target.stat().st_size > ORDINARY // 4, what="a part")
    process.send_signal(signal.SIGKILL)
    process.wait()
    got = target.stat().st_size
    assert got < ORDINARY
    resumed = subprocess.run(command, check=True, timeout=60, stderr=subprocess.PIPE, text=True)
    assert f"Content-Range: bytes {got}-" in resumed.stderr
    assert is_whole(target, "ordinary.zip")


@pytest.mark.browser
def test_a_browser_goes_on_by_itself(port: int, big: Big, ordinary: Collection, page: Page) -> None:
    with cut_connections(port, ORDINARY // 2) as proxy:
        site = f"http://127.0.0.1:{proxy.port}"
        name, _, value = sign_in(ordinary.user).partition("=")
        page.context.add_cookies([{"name": name, "value": value, "url": site}])
        page.goto(f"{site}/healthz/")
        with page.expect_download(timeout=60_000) as started:
            page.evaluate("path => { location.href = path }", address(proxy.port, ordinary))
        download = started.value
        assert download.suggested_filename == "rays.zip"
        assert download.failure() is None
        assert is_whole(download.path(), "ordinary.zip")
        download.delete()
        assert len(ranges(proxy)) == 1
        # Chromium asks for a part of this very archive only, and there is none without an ETag.
        assert "If-Range: " in proxy.requests[-1]


def read_all(response: http.client.HTTPResponse, digest: "hashlib._Hash") -> int:
    size = 0
    while block := response.read(1 << 20):
        digest.update(block)
        size += len(block)
    return size


@pytest.mark.parametrize("end", [expire_collection, delete_collection])
def test_a_running_download_outlives_its_collection(
    port: int, transactional_db: None, end: Callable[..., None]
) -> None:
    size = 64_000_001
    write_large_file(archive_file("short-lived.zip"), size)
    sha256 = hashlib.sha256(archive_file("short-lived.zip").read_bytes()).hexdigest()
    collection = make_ready_collection(name="short-lived.zip")
    headers = {"Cookie": sign_in(collection.user)}
    digest = hashlib.sha256()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", address(port, collection), headers=headers)
        response = connection.getresponse()
        digest.update(response.read(1000))
        end(collection=collection)
        assert not archive_file("short-lived.zip").exists()
        # Whoever comes now gets nothing.
        assert fetch(port, address(port, collection), headers).status in (404, 409)
        assert read_all(response, digest) == size - 1000
    assert digest.hexdigest() == sha256
