"""Collections under all actions in random order, with the real database and files.

After each step all rows and files are checked against the invariants.
"""

import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.conf import settings as conf
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from collections_app.builds.problems import count_problems
from collections_app.models import Build, Collection, Status
from collections_app.storage import archive_file, archive_store
from collections_app.tests.factories import image_file, make_dataset
from collections_app.tests.random_actions import FILES, RandomActions
from medagg.celery import app

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit"), pytest.mark.long]


class Collections(RandomActions):
    """The invariants that hold after any action."""

    @invariant()
    def every_ready_archive_is_there(self) -> None:
        for path in self._ready_paths():
            assert archive_file(path).exists() or path in self.taken

    @invariant()
    def equal_fingerprints_mean_equal_bytes(self) -> None:
        ready = Collection.objects.filter(status=Status.READY).exclude(archive_path__in=self.taken)
        for collection in ready:
            path, fingerprint = collection.archive_path, collection.fingerprint
            if path in self.suspect:
                assert collection.verified_at is None, "forged contents were verified"
                continue
            content = archive_file(path).read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            assert collection.archive_size == len(content)
            assert collection.archive_sha256 in ("", sha256)
            assert self.sha256_of.setdefault(fingerprint, sha256) == sha256

    @invariant()
    def a_ready_archive_holds_the_included_items(self) -> None:
        for collection in Collection.objects.filter(status=Status.READY):
            if collection.archive_path not in self.taken | self.suspect | self.seen:
                assert read_images(collection) == frozen_images(collection)
                self.seen.add(collection.archive_path)

    @invariant()
    def a_state_is_whole(self) -> None:
        unfinished = Counter(Build.objects.unfinished().values_list("collection_id", flat=True))
        for each in Collection.objects.prefetch_related("builds", "items"):
            assert (each.status == Status.READY) == bool(each.archive_path)
            assert (each.status == Status.FAILED) == bool(each.error_message)
            assert unfinished[each.pk] == (each.status == Status.PENDING)
            assert each.num_images + each.num_excluded == len(each.items.all())
            assert sum(item.is_excluded for item in each.items.all()) == each.num_excluded
            assert count_problems(each) == each.items.included().with_problems().count()
            latest = max(each.builds.all(), key=lambda build: build.pk)
            assert latest.attempts <= conf.BUILD_MAX_ATTEMPTS


def read_images(collection: Collection) -> dict[str, str]:
    """Name below the slug and SHA-256 of each image in the archive."""
    with zipfile.ZipFile(archive_file(collection.archive_path)) as archive:
        assert archive.testzip() is None
        start = f"{collection.slug}/"
        return {
            name.removeprefix(start): hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if name.startswith(f"{start}images/")
        }


def frozen_images(collection: Collection) -> dict[str, str]:
    items = collection.items.included().exclude(file_name="")
    return dict(items.values_list("file_name", "sha256"))


@pytest.fixture
def sound_files(settings: LazySettings) -> Iterator[dict[int, tuple[bytes, int]]]:
    settings.COLLECTION_MAX_PENDING = 100
    make_dataset(files=FILES, remote=1)
    paths = {number: image_file(number) for number in range(FILES)}
    yield {number: _read(path) for number, path in paths.items()}
    app.control.purge()


def _read(path: Path) -> tuple[bytes, int]:
    return path.read_bytes(), path.stat().st_mtime_ns


def test_no_order_of_actions_breaks_an_invariant(sound_files: dict[int, tuple[bytes, int]]) -> None:
    Collections.originals = sound_files
    Collections.sha256_of = {}
    run_state_machine_as_test(
        Collections,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Collections.sha256_of, "something was built"
    assert not list(archive_store().iter_old_files(older_than=0))
