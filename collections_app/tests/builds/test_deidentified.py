"""``DEIDENTIFY_ON_DELIVERY``: downloads and archives have DICOM files after the basic profile."""

import csv
import hashlib
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from billiard.pool import SIG_SOFT_TIMEOUT, soft_timeout_sighandler
from django.conf import LazySettings
from django.conf import settings as conf_settings
from django.test import Client
from pydicom import uid

from catalog.deidentification import deidentify_file
from catalog.imaging.dicom import stream
from catalog.imaging.dicom.stream import MAX_INFLATED_BYTES
from catalog.imported_keys import IDENTIFYING
from catalog.models import Image
from catalog.storage import transfers
from catalog.storage.disk import LOOK_BYTES, promise_room
from catalog.tests.factories import (
    DatasetFactory,
    ImageFactory,
    add_file,
    dataset_folder,
    make_searchable,
)
from catalog.tests.imaging.dicom_files import make_dicom
from catalog.tests.importers.folder_files import make_scan
from catalog.views import image_files
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection, Reason
from collections_app.services import (
    build_without_problems,
    rebuild_collection,
    retry_collection,
)
from collections_app.storage import archive_file
from collections_app.tests.factories import (
    UserFactory,
    build,
    make_collection,
    make_ready,
    read_archive,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]

JANE = {"PatientName": "Doe^Jane", "PatientID": "MRN-1", "StudyDescription": "Jane's chest"}
PUBLISHED = {"PatientName": "Kept^As", "PatientIdentityRemoved": "YES"}
PNG = b"\x89PNG not a picture"


@pytest.fixture(autouse=True)
def files(settings: LazySettings) -> None:
    settings.DEIDENTIFY_ON_DELIVERY = True
    counts = {"files": 1, "burned_in": 0, "unchecked": 0, "attributes": {"PatientName": 1}}
    dataset = DatasetFactory(slug="scans", imported_json={IDENTIFYING: counts})
    for name, content, found in (
        ("jane.dcm", make_scan(**JANE), ["PatientName"]),
        ("plain.dcm", make_scan(StationName="Room 5"), []),
        ("public.dcm", make_scan(**PUBLISHED), []),
        ("x.png", PNG, None),
    ):
        image = ImageFactory(dataset=dataset, source_id=name, identifying=found)
        add_file(image, content, name)
    make_searchable()


def find_image(name: str) -> Image:
    return Image.objects.get(source_id=name)


def path_of(name: str) -> Path:
    image = find_image(name)
    return dataset_folder(image.dataset) / image.file_path


def rows(texts: dict[str, bytes]) -> dict[str, dict[str, str]]:
    table = csv.DictReader(io.StringIO(texts["metadata.csv"].decode()))
    return {row["source_id"]: row for row in table}


def sum_of(collection: Collection) -> str:
    return hashlib.sha256(archive_file(collection.archive_path).read_bytes()).hexdigest()


def test_an_archive_has_deidentified_files_and_says_so() -> None:
    collection = make_ready()
    texts = read_archive(collection)
    names = ("jane.dcm", "plain.dcm", "public.dcm", "x.png")
    jane, plain, public, png = (texts[f"images/scans/{name}"] for name in names)
    for secret in (b"Jane", b"MRN", b"Room 5"):
        assert secret not in jane + plain
    found = pydicom.dcmread(io.BytesIO(jane))
    assert (found.PatientIdentityRemoved, found.PatientID[:5]) == ("YES", "anon-")
    assert found.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert public == make_scan(**PUBLISHED), "as its publisher left it"
    assert png == PNG

    table = rows(texts)
    for name in names:
        content, row = texts[f"images/scans/{name}"], table[name]
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert row["size_bytes"] == str(len(content))
        assert row["source_sha256"] == find_image(name).sha256
        assert f"{row['sha256']}  images/scans/{name}\n".encode() in texts["SHA256SUMS"]
    assert table["jane.dcm"]["source_sha256"] != table["jane.dcm"]["sha256"]
    record = json.loads(texts["collection.json"])["deidentification"]
    assert record["method_code"]["value"] == "113100"
    assert "Basic Application Level Confidentiality Profile" in record["profile"]
    assert "## De-identification" in texts["README.md"].decode()

    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert collection.verified_at, collection.error_message
    assert collection.archive_sha256 == sum_of(collection)


def test_a_rebuilt_archive_has_the_same_bytes_and_another_choice_another_fingerprint(
    settings: LazySettings, client: Client
) -> None:
    collection = make_ready()
    first, fingerprint = sum_of(collection), collection.fingerprint
    rebuild_collection(collection=collection)
    build(collection)
    assert (sum_of(collection), collection.fingerprint) == (first, fingerprint)

    client.force_login(collection.user)
    address = collection.get_absolute_url()
    assert "have these files de-identified" in client.get(address).content.decode()
    settings.DEIDENTIFY_ON_DELIVERY = False
    assert "treat it as personal data" in client.get(address).content.decode()
    assert 'id="rebuild-differs"' in client.get(address).content.decode()
    rebuild_collection(collection=collection)
    build(collection)
    assert collection.fingerprint != fingerprint
    texts = read_archive(collection)
    assert texts["images/scans/jane.dcm"] == make_scan(**JANE)
    assert "source_sha256" not in rows(texts)["jane.dcm"]
    assert rows(texts)["jane.dcm"]["sha256"] == find_image("jane.dcm").sha256

    settings.DEIDENTIFY_ON_DELIVERY = True
    page = client.get(address).content.decode()
    assert "treat it as personal data" in page, "this archive still has the originals"


def test_another_key_gives_another_fingerprint(settings: LazySettings) -> None:
    fingerprint = make_ready().fingerprint
    settings.PSEUDONYM_KEY = "another"
    other = make_ready(title="My rays")
    assert other.fingerprint != fingerprint


def test_a_problem_quotes_no_value_of_the_file() -> None:
    odd = b"\x28\0\x03\x01US\x0b\0SECRET'NAME"  # PixelRepresentation of eleven bytes
    add_file(find_image("plain.dcm"), make_dicom(PatientName="Doe^Jane") + odd, "plain.dcm")
    make_searchable()
    (item,) = build(make_collection()).items.with_problems()
    assert "Instead received b'…' with length 11" in item.problem


def test_a_file_that_cannot_be_deidentified_is_a_problem_and_never_delivered(
    client: Client,
) -> None:
    image = find_image("plain.dcm")
    add_file(image, make_scan()[:300], "plain.dcm")
    make_searchable()
    collection = build(make_collection())
    assert collection.status == "failed"
    (item,) = collection.items.with_problems()
    assert "not de-identified" in item.problem
    build_without_problems(collection=collection)
    build(collection)
    texts = read_archive(collection)
    assert "images/scans/plain.dcm" not in texts
    assert b"not de-identified" in texts["missing.csv"]

    client.force_login(collection.user)
    answer = client.get(f"/images/{image.pk}/file/")
    assert answer.status_code == 404
    assert "could not do so with this one" in answer.content.decode()


def take_all_turns(stack: ExitStack) -> None:
    for _ in range(2):
        stack.enter_context(image_files._reading.turn())


def test_a_download_waits_for_its_turn_to_be_deidentified(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(UserFactory())
    address = f"/images/{find_image('jane.dcm').pk}/file/"
    with ExitStack() as others:
        take_all_turns(others)
        monkeypatch.setattr(image_files._reading, "wait_seconds", 0.1)
        refused = client.get(address)
        assert (refused.status_code, refused["Retry-After"]) == (503, "30")
        monkeypatch.setattr(image_files._reading, "wait_seconds", 30)
        threading.Timer(0.3, others.pop_all().close).start()
        assert client.get(address).status_code == 200


def test_a_file_that_has_to_be_read_for_a_visitor_waits_for_its_turn_and_delays_no_other(
    client: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEIDENTIFY_ON_DELIVERY = False
    touched, untouched = find_image("plain.dcm"), find_image("x.png")
    os.utime(path_of("plain.dcm"))
    monkeypatch.setattr(image_files._reading, "wait_seconds", 0.1)
    with ExitStack() as others:
        take_all_turns(others)
        assert client.get(f"/images/{touched.pk}/file/").status_code == 503
        assert client.get(f"/images/{untouched.pk}/file/").getvalue() == PNG
    assert client.get(f"/images/{touched.pk}/file/").status_code == 200


def test_without_room_on_the_disk_a_file_comes_later_and_is_not_called_gone(
    client: Client, settings: LazySettings
) -> None:
    client.force_login(UserFactory())
    settings.ARCHIVE_RESERVE_BYTES = 1 << 60
    answer = client.get(f"/images/{find_image('jane.dcm').pk}/file/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")


def test_while_as_many_files_are_sent_as_may_be_nothing_is_de_identified(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(UserFactory())
    calls = []
    monkeypatch.setattr(image_files, "deidentify_file", lambda *files: calls.append(files))
    address = f"/images/{find_image('jane.dcm').pk}/file/"
    monkeypatch.setattr(transfers, "_slots", threading.BoundedSemaphore(1))
    with transfers._slots:
        assert client.get(address).status_code == 503
    assert not calls
    assert client.get(address).status_code == 200
    assert len(calls) == 1


def test_two_that_are_de_identified_leave_the_disk_its_reserve(settings: LazySettings) -> None:
    content = path_of("jane.dcm").read_bytes()
    free = shutil.disk_usage(settings.VAR_DIR).free
    settings.ARCHIVE_RESERVE_BYTES = free - MAX_INFLATED_BYTES * 3 // 2
    with (
        promise_room(settings.VAR_DIR, MAX_INFLATED_BYTES),
        pytest.raises(OSError, match="No space left"),
    ):
        deidentify_file(io.BytesIO(content), io.BytesIO())
    deidentify_file(io.BytesIO(content), io.BytesIO())


class TakesRoom(io.BytesIO):
    """A file; once something is written to it, others have taken the disk down to its reserve."""

    def write(self, data: Any) -> int:
        conf_settings.ARCHIVE_RESERVE_BYTES = 1 << 60
        return super().write(data)


def test_what_is_de_identified_ends_where_the_reserve_begins(settings: LazySettings) -> None:
    settings.ARCHIVE_RESERVE_BYTES = 0
    content = make_dicom(np.zeros((4096, 4096), dtype=np.uint16))
    made = TakesRoom()
    with pytest.raises(OSError, match="no more than its reserve"):
        deidentify_file(io.BytesIO(content), made)
    assert len(made.getvalue()) <= LOOK_BYTES


def test_room_that_another_process_was_promised_is_kept_until_it_ends(
    settings: LazySettings,
) -> None:
    content = path_of("jane.dcm").read_bytes()
    free = shutil.disk_usage(settings.VAR_DIR).free
    settings.ARCHIVE_RESERVE_BYTES = free - MAX_INFLATED_BYTES * 3 // 2
    program = (
        "import django, pathlib, sys; django.setup()\n"
        "from catalog.storage.disk import promise_room\n"
        f"with promise_room(pathlib.Path(sys.argv[1]), {MAX_INFLATED_BYTES}):\n"
        "    print(flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, settings.VAR_DIR],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "medagg.settings",
            "ARCHIVE_RESERVE_BYTES": "0",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(OSError, match="No space left"):
            deidentify_file(io.BytesIO(content), io.BytesIO())
        other.kill()
    deidentify_file(io.BytesIO(content), io.BytesIO())
    assert not list((settings.VAR_DIR / "promised-room").iterdir())


def test_what_begins_as_dicom_does_is_given_to_no_visitor_and_never_delivered(
    client: Client, settings: LazySettings
) -> None:
    # As imports once kept it: as a file of an unknown format.
    image = ImageFactory(dataset=find_image("x.png").dataset, source_id="acr", identifying=None)
    acr = b"\x08\0\x10\0\x0c\0\0\0ACR-NEMA 2.0\x10\0\x10\0\x08\0\0\0Doe^Jane"
    add_file(image, acr, "acr.ima")
    address = f"/images/{image.pk}/file/"
    for settings.DEIDENTIFY_ON_DELIVERY in (False, True):
        assert client.get(address).status_code == 302
    client.force_login(UserFactory())
    assert client.get(address).status_code == 404
    settings.DEIDENTIFY_ON_DELIVERY = False
    assert client.get(address).getvalue() == acr


def test_an_archive_does_not_grow_beyond_the_disk_by_what_deflated_files_become(
    settings: LazySettings,
) -> None:
    blank = np.zeros((4000, 4000), np.uint16)
    content = make_dicom(blank, syntax=uid.DeflatedExplicitVRLittleEndian, **JANE)
    add_file(find_image("jane.dcm"), content, "jane.dcm")
    collection = make_collection()
    free = shutil.disk_usage(settings.ARCHIVE_ROOT.parent).free
    settings.ARCHIVE_RESERVE_BYTES = free - (16 << 20)
    collection = build(collection)
    assert (collection.status, collection.builds.get().reason) == ("failed", Reason.DISK_FULL)
    settings.ARCHIVE_RESERVE_BYTES = 0
    retry_collection(collection=collection)
    assert build(collection).status == "ready"


def test_what_pydicom_says_of_a_file_is_in_no_log(client: Client) -> None:
    client.force_login(UserFactory())
    content = make_scan(**JANE, StudyInstanceUID="1.2.826.0.1.99")
    path_of("jane.dcm").write_bytes(content.replace(b"1.2.826.0.1.99", b"Mueller^Hans 1"))
    handler = BufferingHandler(1000)
    logging.getLogger().addHandler(handler)
    try:
        assert client.get(f"/images/{find_image('jane.dcm').pk}/file/").status_code == 200
        logging.getLogger("pydicom").warning("Mueller^Hans")
    finally:
        logging.getLogger().removeHandler(handler)
    assert not any("Mueller" in record.getMessage() for record in handler.buffer)


def test_a_file_that_changed_is_named_as_always() -> None:
    collection = make_collection()
    path_of("jane.dcm").write_bytes(make_scan(**{**JANE, "PatientName": "Doe^John"}))
    path_of("x.png").unlink()
    assert build(collection).status == "failed"
    jane, png = collection.items.with_problems().order_by("position")
    assert "differ from the catalog's" in jane.problem
    assert png.problem == "the file is missing"


def test_a_download_is_deidentified_also_behind_nginx(
    client: Client, settings: LazySettings
) -> None:
    settings.X_ACCEL_DATASETS = ["/protected-datasets/"]
    jane, png = find_image("jane.dcm"), find_image("x.png")
    address = f"/images/{jane.pk}/file/"
    assert client.get(address).status_code == 302
    client.force_login(make_collection().user)
    answer = client.get(address)
    content = answer.getvalue()
    assert "X-Accel-Redirect" not in answer
    assert b"Jane" not in content
    assert int(answer["Content-Length"]) == len(content)
    assert pydicom.dcmread(io.BytesIO(content)).PatientIdentityRemoved == "YES"
    assert "X-Accel-Redirect" in client.get(f"/images/{png.pk}/file/")
    page = client.get(jane.get_absolute_url()).content.decode()
    assert "The download is de-identified" in page


@pytest.mark.parametrize("key", ["the same", "another"])
def test_a_rebuild_needs_room_in_the_database_only_for_what_changes_and_asks_in_time(
    settings: LazySettings, key: str
) -> None:
    settings.PSEUDONYM_KEY = "the same"
    collection = make_ready()
    before, path = sum_of(collection), collection.archive_path
    settings.PSEUDONYM_KEY, settings.DATABASE_MAX_BYTES = key, 1
    rebuild_collection(collection=collection)

    build(collection)

    assert (collection.status, sum_of(collection)) == ("ready", before)
    was_refused = collection.builds.latest("pk").reason == Reason.DISK_FULL
    assert was_refused == (collection.archive_path == path) == (key == "another")
    settings.DATABASE_MAX_BYTES = 0
    rebuild_collection(collection=collection)
    assert (sum_of(build(collection)) == before) == (key == "the same")


def test_a_rebuild_whose_check_finds_the_disk_full_keeps_the_archive(
    settings: LazySettings,
) -> None:
    collection = make_ready()
    before = sum_of(collection)
    rebuild_collection(collection=collection)
    settings.ARCHIVE_RESERVE_BYTES = 1 << 60

    build(collection)

    assert (collection.status, sum_of(collection)) == ("ready", before)
    assert collection.builds.latest("pk").reason == Reason.DISK_FULL


def test_the_time_limit_is_no_mistake_in_the_file_that_is_read_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find_encoding = stream.find_encoding

    def strike(*args: Any) -> Any:
        os.kill(os.getpid(), SIG_SOFT_TIMEOUT)
        return find_encoding(*args)

    collection = make_collection("")
    before = signal.signal(SIG_SOFT_TIMEOUT, soft_timeout_sighandler)  # as in a worker
    try:
        with monkeypatch.context() as patch:
            patch.setattr(stream, "find_encoding", strike)
            collection = build(collection)
        assert signal.getsignal(SIG_SOFT_TIMEOUT) is soft_timeout_sighandler
    finally:
        signal.signal(SIG_SOFT_TIMEOUT, before)

    assert "The build took longer than 3 hours" in collection.error_message
    assert not collection.items.with_problems().exists()
    retry_collection(collection=collection)
    assert build(collection).status == "ready"
