"""Rebuilds in other processes, on other days and after imports give the same bytes."""

import hashlib
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as conf
from django.core.management import call_command
from django.db import connection
from PIL import Image as Picture

from catalog.models import Image
from collections_app.builds.build import build_collection
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection
from collections_app.services import expire_collection, retry_collection
from collections_app.storage import archive_file
from collections_app.tests.factories import (
    files_in_archive_root,
    make_collection,
    make_dataset,
)
from collections_app.tests.faults.tools import wait_for
from medagg.runner.embedded import database_url
from medagg.testing.clock import moved_clock
from medagg.testing.environment import BASE_VARIABLE
from medagg.testing.worker import WorkerProcess
from vocab.services import load_terms

pytestmark = pytest.mark.django_db(transaction=True)

BUILD = (
    "from collections_app.builds.build import build_collection as build; "
    "from collections_app.builds.verification import verify_archive as verify; "
    "build(collection_id={pk}); verify(collection_id={pk})"
)
# Another time zone, hash seed, language, limits and address, all at once: each is a start.
ELSEWHERE = {
    "TZ": "Pacific/Kiritimati",
    "TIME_ZONE": "Asia/Kolkata",
    "PYTHONHASHSEED": "4711",
    "LANG": "tr_TR.UTF-8",
    "LC_ALL": "C",
    "LANGUAGE": "tr",
    "BUILD_LEASE_SECONDS": "7",
    "COLLECTION_LIFETIME_DAYS": "1",
    "SITE_URL": "https://elsewhere.example",
    "ALLOWED_HOSTS": "*",
}


@pytest.fixture
def built() -> tuple[Collection, str]:
    """A collection whose archive has expired, and the SHA-256 that it had."""
    make_dataset(files=40, remote=3)
    collection = make_collection("q=rays")
    sha256 = build_here(collection)
    return collection, sha256


def build_here(collection: Collection) -> str:
    build_collection(collection_id=collection.pk)
    verify_archive(collection_id=collection.pk)
    return read_sha256(collection)


def read_sha256(collection: Collection) -> str:
    """The SHA-256 of a verified archive, compared with its file."""
    collection.refresh_from_db()
    assert (collection.status, collection.error_message) == ("ready", "")
    content = archive_file(collection.archive_path).read_bytes()
    assert collection.archive_sha256 == hashlib.sha256(content).hexdigest()
    return collection.archive_sha256


def queue_again(collection: Collection) -> None:
    collection.refresh_from_db()
    expire_collection(collection=collection)
    assert files_in_archive_root() == []
    retry_collection(collection=collection)


def build_elsewhere(collection: Collection, environment: dict[str, str], umask: int = 0o022) -> str:
    url = database_url(Path(os.environ[BASE_VARIABLE]), connection.settings_dict["NAME"])
    code = BUILD.format(pk=collection.pk)
    result = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
        env={**os.environ, "DATABASE_URL": url, **environment},
        cwd=conf.BASE_DIR, umask=umask, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return read_sha256(collection)


def test_rebuild_in_another_process_gives_the_same_bytes(built: tuple[Collection, str]) -> None:
    collection, sha256 = built
    queue_again(collection)
    assert build_elsewhere(collection, ELSEWHERE, umask=0o077) == sha256


@pytest.mark.parametrize("days", [1, 400, -30])
def test_rebuild_on_another_day_gives_the_same_bytes(
    built: tuple[Collection, str], days: int
) -> None:
    collection, sha256 = built
    modified = archive_file(collection.archive_path).stat().st_mtime
    queue_again(collection)
    clock = timedelta(days=days, hours=7)
    assert build_elsewhere(collection, moved_clock(clock)) == sha256
    assert collection.finished_at is not None
    assert abs(collection.finished_at - collection.created_at - clock) < timedelta(hours=1)
    # The headers of a resumed download depend on these.
    assert archive_file(collection.archive_path).stat().st_mtime == modified


def test_rebuild_by_a_worker_gives_the_same_bytes(
    built: tuple[Collection, str], celery_worker_process: WorkerProcess
) -> None:
    """The fixtures' order matters: a worker that is there already would build it first."""
    collection, sha256 = built

    def is_verified() -> bool:
        collection.refresh_from_db()
        return bool(collection.archive_sha256)

    celery_worker_process.restart(PYTHONHASHSEED="99", TZ="America/St_Johns")
    queue_again(collection)
    wait_for(is_verified, "the verification of the rebuilt archive")
    assert read_sha256(collection) == sha256


def test_rebuild_after_the_tables_were_rewritten_gives_the_same_bytes(
    built: tuple[Collection, str],
) -> None:
    """The database does not promise any physical order of rows."""
    collection, sha256 = built
    queue_again(collection)
    with connection.cursor() as cursor:
        for table, index in (
            ("collections_app_collectionitem", "collection_holds_an_image_once"),
            ("catalog_image", "catalog_image_pkey"),
        ):
            cursor.execute(f"UPDATE {table} SET id = id WHERE id % 3 = 0")  # noqa: S608
            cursor.execute(f"CLUSTER {table} USING {index}")
            cursor.execute(f"VACUUM FULL ANALYZE {table}")
    assert build_here(collection) == sha256


@pytest.fixture
def pictures() -> Path:
    """A folder of pictures that was imported, as a user imports one."""
    folder: Path = conf.DATASET_ROOTS[0] / "pictures"
    (folder / "nodule").mkdir(parents=True)
    for number in range(12):
        Picture.new("L", (8 + number, 9)).save(folder / "nodule" / f"{number:02}.png")
    load_terms(vocabulary="modality", terms=[{"code": "dx", "name": "Digital radiography"}])
    load_terms(vocabulary="label", terms=[{"code": "nodule", "name": "Nodule"}])
    import_again(folder)
    assert Image.objects.count() == 12
    return folder


def import_again(folder: Path) -> None:
    call_command("import_dataset", str(folder), "--modality", "dx", verbosity=0)


def test_rebuild_after_an_import_without_changes_gives_the_same_bytes(pictures: Path) -> None:
    collection = make_collection("")
    sha256 = build_here(collection)
    import_again(pictures)
    queue_again(collection)
    assert build_here(collection) == sha256
    assert build_here(make_collection("")) == sha256


def test_rebuild_after_an_import_of_new_and_touched_files_gives_the_same_bytes(
    pictures: Path,
) -> None:
    """New files and touched files do not change the archive."""
    collection = make_collection("")
    sha256 = build_here(collection)
    for file in sorted((pictures / "nodule").iterdir()):
        os.utime(file, (1_000_000_000, 1_000_000_000))
    Picture.new("L", (99, 99)).save(pictures / "nodule" / "00-new.png")
    import_again(pictures)
    assert Image.objects.count() == 13
    queue_again(collection)
    assert build_here(collection) == sha256
    assert build_here(make_collection("")) != sha256, "that has thirteen"
