"""Downloads of archives that lie in object storage: the site signs, the storage sends."""

import hashlib
import io
import subprocess
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser

from catalog.storage import web_threads
from collections_app.models import Collection
from collections_app.services import delete_account
from collections_app.storage.client import make_client, turns
from collections_app.storage.patience import PAGE_SECONDS
from collections_app.tests.factories import UserFactory, make_dataset, make_ready
from collections_app.tests.ready_archives import sign_in
from collections_app.tests.storage.conftest import ArchiveBucket
from medagg.testing.programs import require_program
from medagg.tests.mailbox import silent_server

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


def ask(collection: Collection, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
    """What a browser of the owner ends with."""
    browser = Client()
    browser.force_login(collection.user)
    response = browser.generic(method, f"/collections/{collection.uuid}/download/")
    assert (response.status_code, response["Cache-Control"]) == (302, "private, no-store")
    return urllib3.request(method, response["Location"], headers=headers)


def test_a_download_is_sent_by_the_storage(bucket: ArchiveBucket) -> None:
    make_dataset()
    collection = make_ready()
    content = bucket.read(collection.archive_path)

    whole = ask(collection)
    assert (whole.status, whole.data) == (200, content)
    assert whole.headers["Content-Disposition"] == f'attachment; filename="{collection.slug}.zip"'
    assert whole.headers["Content-Type"] == "application/zip"
    assert zipfile.ZipFile(io.BytesIO(whole.data)).testzip() is None
    part = ask(collection, Range="bytes=100-199")
    assert (part.status, part.data) == (206, content[100:200])
    head = ask(collection, "HEAD")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(content)))


def test_no_log_has_the_signature_of_an_address(
    bucket: ArchiveBucket, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    make_dataset(files=1)
    collection = make_ready()
    client.force_login(collection.user)
    caplog.set_level("DEBUG")
    location = client.get(f"/collections/{collection.uuid}/download/")["Location"]
    assert parse_qs(urlsplit(location).query)["X-Amz-Signature"][0] not in caplog.text
    assert "DEBUG" in caplog.text


def test_only_the_owner_gets_an_address_and_only_of_what_is_there(
    bucket: ArchiveBucket, client: Client
) -> None:
    make_dataset(files=1)
    collection = make_ready()
    address = f"/collections/{collection.uuid}/download/"
    assert client.get(address)["Location"].startswith("/accounts/login/")
    client.force_login(UserFactory())
    assert client.get(address).status_code == 404
    client.force_login(collection.user)
    Collection.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert client.get(address).status_code == 409
    Collection.objects.update(expires_at=timezone.now() + timedelta(hours=1))

    bucket.write(collection.archive_path, b"short")
    damaged = client.get(address)
    assert (damaged.status_code, b"is not the file that was built" in damaged.content) == (
        410,
        True,
    )
    bucket.client.delete_object(Bucket="archives", Key=f"kept/here/{collection.archive_path}")
    missing = client.get(address)
    assert missing.status_code == 410
    assert b"is missing on the server" in missing.content
    bucket.server.faults.status[".zip"] = 503
    busy = client.get(address)
    assert (busy.status_code, busy["Retry-After"]) == (503, "30")
    assert b"does not answer at the moment" in busy.content


@pytest.fixture
def serves_pages() -> Iterator[None]:
    """This process is one for pages."""
    web_threads.serves_pages.set()
    yield
    web_threads.serves_pages.clear()
    turns.forget()


def download(collection: Collection) -> int:
    """The status that the owner gets."""
    browser = Client()
    browser.force_login(collection.user)
    try:
        return browser.get(f"/collections/{collection.uuid}/download/").status_code
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_storage_that_is_some_way_off_serves_many_at_once(
    bucket: ArchiveBucket, serves_pages: None
) -> None:
    make_dataset(files=1)
    collections = [make_ready(title=f"T{number}", user=UserFactory()) for number in range(12)]
    events = make_client().meta.events
    events.register("before-send.s3.HeadObject", wait_a_little)
    try:
        with ThreadPoolExecutor(12) as clients:
            assert set(clients.map(download, collections)) == {302}
    finally:
        events.unregister("before-send.s3.HeadObject", wait_a_little)


def wait_a_little(**_: object) -> None:
    time.sleep(0.25)


@pytest.mark.django_db(transaction=True)
def test_a_storage_that_is_silent_holds_few_downloads_once_and_no_deletion(
    bucket: ArchiveBucket, settings: LazySettings, serves_pages: None
) -> None:
    make_dataset(files=1)
    owner = UserFactory()
    collections = [make_ready(title=f"T{number}", user=owner) for number in range(3)]

    with silent_server() as silent:
        port = silent.getsockname()[1]
        settings.ARCHIVE_S3_ENDPOINT = f"http://127.0.0.1:{port}"
        begin = time.monotonic()
        with ThreadPoolExecutor(12) as clients:
            statuses = list(clients.map(download, collections * 4))
        assert set(statuses) == {503}
        assert time.monotonic() - begin < 2 * PAGE_SECONDS + 2
        begin = time.monotonic()
        delete_account(user=owner)
        assert time.monotonic() - begin < 2
    assert not Collection.objects.exists()


def test_browsers_may_have_another_endpoint(
    bucket: ArchiveBucket, settings: LazySettings, client: Client
) -> None:
    settings.ARCHIVE_S3_PUBLIC_ENDPOINT = "https://storage.example.org"
    make_dataset(files=1)
    collection = make_ready()
    client.force_login(collection.user)
    response = client.get(f"/collections/{collection.uuid}/download/")
    start = "https://storage.example.org/archives/kept/here/"
    assert response["Location"].startswith(f"{start}{collection.archive_path}?")
    assert "X-Amz-Expires=3600" in response["Location"]
    assert "key-of-tests" not in response["Location"]


def test_the_command_copies_from_the_storage(bucket: ArchiveBucket, tmp_path: Path) -> None:
    make_dataset()
    user = UserFactory()
    target = tmp_path / "out.zip"
    call_command("build_collection", "", user=user.username, output=target)
    collection = Collection.objects.get()
    assert hashlib.sha256(target.read_bytes()).hexdigest() == collection.archive_sha256


@pytest.mark.django_db(transaction=True)
def test_curl_goes_on_as_the_guide_says_and_shows_the_storage_no_cookie(
    bucket: ArchiveBucket, live_server: object, tmp_path: Path
) -> None:
    make_dataset()
    collection = make_ready()
    content, target = bucket.read(collection.archive_path), tmp_path / "my.zip"
    target.write_bytes(content[:1000])
    cookie = tmp_path / "cookie.txt"
    cookie.write_text(f"Set-Cookie: {sign_in(collection.user)}; domain=localhost\n")
    command = [require_program("curl"), "--fail", "--location", "-C", "-",
               "-b", str(cookie), "-o", str(target), "--verbose",
               f"{live_server}/collections/{collection.uuid}/download/"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert target.read_bytes() == content
    assert done.stderr.count("> Cookie:") == 1
    assert "206 Partial Content" in done.stderr


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_button_downloads_from_the_storage(
    bucket: ArchiveBucket, live_server: object, browser: Browser
) -> None:
    """Which no policy of the page forbids."""
    make_dataset(files=1)
    collection = make_ready()
    name, _, value = sign_in(collection.user).partition("=")
    context = browser.new_context()
    context.add_cookies([{"name": name, "value": value, "url": str(live_server)}])
    page = context.new_page()
    page.goto(f"{live_server}{collection.get_absolute_url()}")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == f"{collection.slug}.zip"
    assert download.value.path().read_bytes() == bucket.read(collection.archive_path)
    context.close()
