"""Fetched files: damaged in the cache, named after what they are, de-identified on delivery."""

import hashlib
import io
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

import pydicom
import pytest
from django.conf import LazySettings
from django.conf import settings as conf
from django.db import connection

from catalog.models import Dataset, RemoteFile
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.importers.folder_files import make_scan
from collections_app.builds.verification import REPLACED, verify_archive
from collections_app.models import Collection
from collections_app.services import build_without_problems, rebuild_collection, retry_collection
from collections_app.storage import archive_file
from collections_app.tests.factories import build, read_archive
from collections_app.tests.faults.tools import overwrite_in_place
from collections_app.tests.remote_series import make_fetching, make_series, rows
from medagg.testing.s3 import BUCKET, S3Server, slice_of
from vocab.tests.factories import ModalityFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit", "own_cache")]

FETCH = conf.BASE_DIR / "collections_app/contents/fetch.py"
JANE = {"PatientName": "Doe^Jane", "PatientID": "MRN-1"}
PUBLISHED = {"PatientName": "Kept^As", "PatientIdentityRemoved": "YES"}
SERIES = "images/scans/P1/1.9/CT_1.2"
MIGRATION = "catalog.migrations.0018_replaced_remote_files"


def verify(collection: Collection) -> Collection:
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    return collection


def make_scans(s3: S3Server, files: dict[str, bytes], single: bytes | None = None) -> Dataset:
    """A dataset with a series of these files and, if given, an image that is a single object."""
    dataset = DatasetFactory(slug="scans")
    for name, content in files.items():
        s3.put(f"scans/{name}", content)
    facts = {"dataset": dataset, "modality": ModalityFactory(code="ct"), "subject_id": "P1"}
    url = f"s3://{BUCKET}/scans/*"
    study = {"StudyInstanceUID": "1.9"}
    ImageFactory(source_id="1.2", remote_url=url, metadata_json=study, **facts)
    if single is not None:
        ImageFactory(source_id="IM0001", remote_url=s3.put("one/IM0001", single), **facts)
    make_searchable()
    return dataset


def hash_lines(files: dict[str, bytes]) -> str:
    """What ``LC_ALL=C sha256sum * | sha256sum`` says in a folder of these files."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_file_damaged_in_the_cache_is_found_and_fetched_again(
    s3: S3Server, settings: LazySettings
) -> None:
    make_series(s3)
    build(make_fetching("q=P0"))
    sha256 = hashlib.sha256(slice_of(0, 1)).hexdigest()
    cached = settings.REMOTE_CACHE_ROOT / sha256[:2] / sha256
    overwrite_in_place(cached, slice_of(0, 1).replace(b"slice", b"slide"))

    collection = verify(build(make_fetching()))

    assert (collection.status, collection.error_message) == ("failed", REPLACED)
    assert not collection.items.with_problems().exists(), "no image is to blame"
    s3.requests.clear()
    retry_collection(collection=collection)
    collection = verify(build(collection))
    assert collection.verified_at
    assert read_archive(collection)["images/lung_ct/P0/1.9.0/CT_1.2.0/01.dcm"] == slice_of(0, 1)
    assert cached.read_bytes() == slice_of(0, 1)
    assert len([path for path in s3.requests if ".dcm" in path]) == 1


def test_names_of_dicom_files_get_an_ending_where_they_have_none(
    s3: S3Server, tmp_path: Path
) -> None:
    scan = [make_scan(SOPInstanceUID=f"1.2.3.{number}", **PUBLISHED) for number in range(4)]
    files = {"1.2.840.1": scan[0], "IM2": scan[1], "c.ima": scan[2], "note": b"no DICOM"}
    make_scans(s3, files, single=scan[3])

    collection = verify(build(make_fetching()))

    assert (collection.status, bool(collection.verified_at)) == ("ready", True)
    expected = {"1.2.840.1.dcm": scan[0], "IM2.dcm": scan[1], "c.ima": scan[2],
                "note": b"no DICOM"}  # fmt: skip
    archive = read_archive(collection)
    found = {name: body for name, body in archive.items() if name.startswith(SERIES)}
    assert found == {f"{SERIES}/{name}": body for name, body in expected.items()}
    assert archive["images/scans/P1/CT_IM0001.dcm"] == scan[3]
    by_id = {row["source_id"]: row for row in rows(archive["metadata.csv"])}
    assert by_id["1.2"]["sha256"] == hash_lines(expected)
    assert by_id["IM0001"]["file_name"] == "images/scans/P1/CT_IM0001.dcm"
    assert {row["path"] for row in rows(archive["files.csv"])} == set(found)
    with zipfile.ZipFile(archive_file(collection.archive_path)) as opened:
        opened.extractall(tmp_path)
    folder = tmp_path / collection.slug
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
    # A rebuild, by then from what is known, gives the same bytes.
    before = collection.archive_sha256
    rebuild_collection(collection=collection)
    assert verify(build(collection)).archive_sha256 == before
    # A migration gave what was known before it the hashes of items.
    known = set(RemoteFile.objects.values_list("name", "item_sha256"))
    RemoteFile.objects.update(item_sha256="")
    with connection.cursor() as cursor:
        cursor.execute(import_module(MIGRATION).SET_ITEM_SHA256)
    assert set(RemoteFile.objects.values_list("name", "item_sha256")) == known


def test_checksums_hold_after_the_programs_in_the_archive_have_fetched_the_rest(
    s3: S3Server, tmp_path: Path
) -> None:
    dataset = make_scans(s3, {"1.1": make_scan(**PUBLISHED)})
    other = "another-bucket"
    s3.client.create_bucket(Bucket=other, ACL="public-read")
    s3.client.put_object(Bucket=other, Key="x/2.2", Body=make_scan(**PUBLISHED), ACL="public-read")
    ImageFactory(dataset=dataset, source_id="2", remote_url=f"s3://{other}/x/*")
    make_searchable()
    collection = build(make_fetching())
    with zipfile.ZipFile(archive_file(collection.archive_path)) as opened:
        opened.extractall(tmp_path)
    folder = tmp_path / collection.slug

    command = [sys.executable, str(folder / "fetch.py"), "--endpoint", s3.endpoint]
    subprocess.run(command, check=True, capture_output=True)

    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
    assert (folder / SERIES / "1.1.dcm").is_file()
    assert (folder / "images/scans/2/2.2").is_file()


class OddAnswers(BaseHTTPRequestHandler):
    """Answers HEAD well, and GET by what the path says."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()

    def do_GET(self) -> None:
        if self.path.endswith("elsewhere"):
            self.send_response(302)
            self.send_header("Location", "https://[evil/x")
        else:
            self.send_response(200)
            self.send_header("Content-Length", "9" * 5000 if "long" in self.path else "4")
        self.end_headers()
        self.wfile.write(b"good")

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


def run_fetch_py(
    folder: Path, handler: type[BaseHTTPRequestHandler]
) -> subprocess.CompletedProcess[str]:
    """What it does where this server stands in for S3."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        done = subprocess.run(
            [sys.executable, folder / "fetch.py", "--endpoint", endpoint],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        server.shutdown()
    return done


def test_one_odd_address_or_answer_is_a_problem_and_the_others_are_fetched(tmp_path: Path) -> None:
    shutil.copy(FETCH, tmp_path / "fetch.py")
    names = {
        "a": "https://[x/x.png",
        "b": "https://a..b/x.png",
        "c": "https://[x/\xe4.png",
        "d": "s3://bucket/elsewhere",
        "e": "s3://bucket/good",
        "f": "s3://bucket/long",
    }
    lines = [f"images/{name},{url},4,\n" for name, url in names.items()]
    (tmp_path / "remote.csv").write_text("file_name,url,size_bytes,num_files\n" + "".join(lines))
    done = run_fetch_py(tmp_path, OddAnswers)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "2 files fetched" in done.stdout
    assert "4 problems" in done.stdout
    fetched = {path.name: path.read_bytes() for path in (tmp_path / "images").iterdir()}
    assert fetched == {"e": b"good", "f": b"good"}
    assert [line[:8] for line in done.stderr.splitlines()] == [f"images/{name}" for name in "abcd"]


class Placeholders(BaseHTTPRequestHandler):
    """Answers with what stands in the place of a file, by the last part of the path."""

    sent: ClassVar[dict[str, bytes]] = {
        "page": b"\xef\xbb\xbf\n<!DOCTYPE html><title>Sign in</title>",
        "error": b'<?xml version="1.0"?>\n<Error><Code>SlowDown</Code></Error>',
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 508123\n",
        "annex": b"/annex/objects/SHA256E-s508123--aa.png\n",
        "empty": b"",
        "gone.png": b"This file is gone",
        "good": b"<headings>vertex",
    }

    def do_GET(self) -> None:
        body = self.sent[self.path.rpartition("/")[2]]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


def test_what_is_sent_in_place_of_a_file_is_a_problem_and_not_kept(tmp_path: Path) -> None:
    shutil.copy(FETCH, tmp_path / "fetch.py")
    lines = [f"images/{name},s3://bucket/{name},508123,\n" for name in Placeholders.sent]
    (tmp_path / "remote.csv").write_text("file_name,url,size_bytes,num_files\n" + "".join(lines))

    done = run_fetch_py(tmp_path, Placeholders)

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "images/annex: the source sends a pointer of Git instead of a file",
        "images/empty: the source sends an empty file",
        "images/error: the source sends a web page instead of a file",
        "images/gone.png: the source sends a text instead of an image",
        "images/lfs: the source sends a pointer of Git instead of a file",
        "images/page: the source sends a web page instead of a file",
    ]
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["good"]


class HalfDown(OddAnswers):
    """Is too busy for one of its buckets."""

    def do_HEAD(self) -> None:
        if not self.path.startswith("/down/"):
            return super().do_HEAD()
        return self.send_error(503)


def test_a_source_that_does_not_answer_keeps_fetch_py_from_no_other(tmp_path: Path) -> None:
    program = FETCH.read_text().replace("(1.0, 4.0, 15.0)", "(0, 0, 0)")
    (tmp_path / "fetch.py").write_text(program)
    names = [f"down/{number}" for number in range(99)] + [f"open/{number}" for number in range(5)]
    lines = [f"images/{name},s3://{name},4,\n" for name in names]
    (tmp_path / "remote.csv").write_text("file_name,url,size_bytes,num_files\n" + "".join(lines))

    done = run_fetch_py(tmp_path, HalfDown)

    assert done.returncode == 1
    assert "5 files fetched" in done.stdout
    assert "99 problems" in done.stdout
    *busy, last = done.stderr.splitlines()
    assert 20 <= len(busy) < 30
    assert all("too busy" in line for line in busy)
    assert last == (
        f"s3://down: it does not answer, and was not asked for {99 - len(busy)} more. "
        "Run this again later."
    )


class EndlessAnswers(BaseHTTPRequestHandler):
    """Lists and sends more and more, by what the path says, up to what a test can bear."""

    protocol_version = "HTTP/1.1"
    per_page: ClassVar[dict[str, int]] = {"pages": 0, "many": 3000, "grown": 1}
    fill: ClassVar[dict[str, int]] = {}
    sent: ClassVar[Counter[str]] = Counter()

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        if "list-type" not in query:
            self._send_blocks()
            return
        what, page = query["prefix"].strip("/"), int(query.get("continuation-token", 0)) + 1
        self.sent[what] += 1
        objects = "".join(
            f"<Contents><Key>{what}/{page}-{number}</Key><Size>4</Size></Contents>"
            for number in range(self.per_page.get(what, 0))
        )
        objects += "<a/>" * (self.fill.get(what, 0) // 4)
        is_last = what not in ("pages", "many") or page == 400
        body = (
            f"<ListBucketResult>{objects}<IsTruncated>{str(not is_last).lower()}</IsTruncated>"
            f"<NextContinuationToken>{page}</NextContinuationToken></ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def _send_blocks(self) -> None:
        self.do_HEAD()
        with suppress(OSError):
            for _ in range(40):
                self.wfile.write(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
                self.sent["blocks"] += 1
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


def test_what_goes_on_and_on_is_a_problem_and_leaves_nothing(tmp_path: Path) -> None:
    shutil.copy(FETCH, tmp_path / "fetch.py")
    lines = [f"images/{name},s3://bucket/{name}/*,,\n" for name in EndlessAnswers.per_page]
    lines += ["images/unsized,s3://bucket/unsized,,\n"]
    (tmp_path / "remote.csv").write_text("file_name,url,size_bytes,num_files\n" + "".join(lines))

    done = run_fetch_py(tmp_path, EndlessAnswers)

    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == [
        "images/grown/1-0: it is longer than 4 bytes, which it has at most",
        "images/many: the source lists more than 20,000 files for it",
        "images/pages: the source's list of files does not end",
        "images/unsized: the source does not tell its size",
    ]
    sent = EndlessAnswers.sent
    assert (sent["many"], sent["pages"]) == (7, 200)
    assert sent["blocks"] < 40, "it hangs up"
    assert not [path for path in (tmp_path / "images").rglob("*") if path.is_file()]


class DrippingAnswers(BaseHTTPRequestHandler):
    """Tells the size at once, and sends a byte every tenth of a second."""

    def do_GET(self) -> None:
        self.send_response(200)
        if "list-type" not in self.path:
            self.send_header("Content-Length", "100000")
        self.end_headers()
        with suppress(OSError):
            while self.command == "GET":
                self.wfile.write(b"x")
                time.sleep(0.1)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def dripping(tmp_path: Path) -> Iterator[list[str | Path]]:
    """The command that fetches a file and a list from a source that drips."""
    program = FETCH.read_text().replace("TIMEOUT = 60", "TIMEOUT = 1")
    (tmp_path / "fetch.py").write_text(program.replace("(1.0, 4.0, 15.0)", "(0, 0, 0)"))
    lines = "images/file,s3://bucket/file,,\nimages/list,s3://bucket/list/*,,\n"
    (tmp_path / "remote.csv").write_text("file_name,url,size_bytes,num_files\n" + lines)
    with ThreadingHTTPServer(("127.0.0.1", 0), DrippingAnswers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        yield [sys.executable, tmp_path / "fetch.py", "--endpoint", endpoint]
        server.shutdown()


def test_a_source_that_drips_is_given_up(dripping: list[str | Path], tmp_path: Path) -> None:
    done = subprocess.run(dripping, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == [
        "images/file: the source sends fewer than 1,000 bytes a second",
        "images/list: the source sends fewer than 1,000 bytes a second",
    ]
    assert not [path for path in (tmp_path / "images").rglob("*") if path.is_file()]


def test_whoever_stops_it_does_not_wait_for_a_source_that_drips(
    dripping: list[str | Path], tmp_path: Path
) -> None:
    with subprocess.Popen(dripping, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as program:
        while not list((tmp_path / "images").glob(".file.partial")):
            time.sleep(0.05)
        program.send_signal(signal.SIGINT)
        assert program.stderr is not None
        assert b"Run it again to go on" in program.stderr.read()
        assert program.wait(timeout=20) == 130
    assert not list((tmp_path / "images").iterdir())


def test_a_page_of_a_list_is_at_most_4_mb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes many times as much memory, and four are read at a time."""
    monkeypatch.setattr(EndlessAnswers, "fill", {"long": 5_000_000, "empty": 3_000_000})
    shutil.copy(FETCH, tmp_path / "fetch.py")
    lines = [f"images/{name},s3://bucket/{name}/*,,\n" for name in ("long", "empty")]
    (tmp_path / "remote.csv").write_text("file_name,url,size_bytes,num_files\n" + "".join(lines))

    done = run_fetch_py(tmp_path, EndlessAnswers)

    assert sorted(done.stderr.splitlines()) == [
        "images/empty: there are no files at its address any more",
        "images/long: the source's list of files has more than 4 MB at a time",
    ]


def test_two_files_do_not_get_one_name_by_an_ending(s3: S3Server) -> None:
    scans = [make_scan(SOPInstanceUID=f"1.2.3.{number}", **PUBLISHED) for number in range(2)]
    make_scans(s3, {"1": scans[0], "1.dcm": scans[1]})

    archive = read_archive(build(make_fetching()))

    assert (archive[f"{SERIES}/1"], archive[f"{SERIES}/1.dcm"]) == tuple(scans)


def test_what_was_fetched_is_deidentified_on_delivery_as_what_is_here(
    s3: S3Server, settings: LazySettings
) -> None:
    settings.DEIDENTIFY_ON_DELIVERY = True
    files = {"1": make_scan(**JANE), "2": make_scan(**PUBLISHED), "3": make_scan(StationName="R")}
    make_scans(s3, files, single=make_scan(**JANE))

    collection = verify(build(make_fetching()))

    assert (collection.status, bool(collection.verified_at)) == ("ready", True)
    archive = read_archive(collection)
    inside = {name.rpartition("/")[2]: body for name, body in archive.items() if SERIES in name}
    assert pydicom.dcmread(io.BytesIO(inside["2.dcm"])).PatientName == "Kept^As"
    assert pydicom.dcmread(io.BytesIO(inside["1.dcm"])).PatientIdentityRemoved == "YES"
    assert not any(b"Jane" in body for body in archive.values())
    by_id = {row["source_id"]: row for row in rows(archive["metadata.csv"])}
    assert by_id["1.2"]["sha256"] == hash_lines(inside)
    assert by_id["1.2"]["source_sha256"] == hash_lines({f"{n}.dcm": b for n, b in files.items()})
    assert by_id["1.2"]["size_bytes"] == str(sum(map(len, inside.values())))
    for line in archive["SHA256SUMS"].decode().splitlines():
        sha256, _, name = line.partition("  ")
        assert hashlib.sha256(archive[name]).hexdigest() == sha256
    for row in rows(archive["files.csv"]):
        assert hashlib.sha256(archive[row["path"]]).hexdigest() == row["sha256"]

    before = (collection.archive_sha256, collection.fingerprint)
    rebuild_collection(collection=collection)
    collection = verify(build(collection))
    assert (collection.archive_sha256, collection.fingerprint) == before
    # An operator who turns it off again gets the originals, verified as such.
    settings.DEIDENTIFY_ON_DELIVERY = False
    rebuild_collection(collection=collection)
    collection = verify(build(collection))
    assert collection.verified_at
    assert read_archive(collection)[f"{SERIES}/1.dcm"] == files["1"]


def test_what_was_fetched_and_cannot_be_deidentified_is_refused(
    s3: S3Server, settings: LazySettings
) -> None:
    settings.DEIDENTIFY_ON_DELIVERY = True
    make_scans(s3, {"1": make_scan(**JANE), "2": make_scan()[:300]}, single=make_scan(**JANE))

    collection = build(make_fetching())

    assert collection.status == "failed"
    (item,) = collection.items.with_problems()
    assert (item.image.source_id, "not de-identified" in item.problem) == ("1.2", True)
    build_without_problems(collection=collection)
    archive = read_archive(build(collection))
    assert not any(SERIES in name for name in archive)
    assert b"not de-identified" in archive["missing.csv"]
