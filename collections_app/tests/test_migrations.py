"""Data migrations, on rows of the last version."""

import importlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations import RunSQL
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from collections_app.tests.factories import make_collection, make_dataset
from collections_app.tests.states import as_failed

pytestmark = pytest.mark.django_db(transaction=True)

MIGRATION = "collections_app.migrations.0003_builds"
BEFORE = [("collections_app", "0002_shared_archives")]
HEX = "ab" * 32


def migrate(targets: list[tuple[str, str]]) -> Any:
    executor = MigrationExecutor(connection)
    executor.migrate(targets)
    return executor.loader.project_state(targets).apps


@pytest.fixture
def apps_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The models of the last version; afterwards the schema is migrated again."""
    # Data is not migrated back, which Django refuses for that reason; here there is none.
    for operation in importlib.import_module(MIGRATION).Migration.operations:
        if isinstance(operation, RunSQL):
            monkeypatch.setattr(operation, "reverse_sql", [])
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    yield migrate(BEFORE)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE collections_app_collection, auth_user CASCADE")
    migrate(newest)


def migrate_to_now() -> Any:
    return migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())


def test_collections_of_the_last_version_get_their_builds(apps_before: Any) -> None:
    now = timezone.now()
    user = apps_before.get_model("auth", "User").objects.create(username="ada")
    collections = apps_before.get_model("collections_app", "Collection").objects
    ready = {
        "status": "ready", "archive_path": "a.zip", "archive_size": 9, "archive_sha256": HEX,
        "fingerprint": HEX, "started_at": now - timedelta(minutes=2), "finished_at": now,
        "expires_at": now + timedelta(days=1), "attempts": 2,
    }  # fmt: skip
    rows: dict[str, dict[str, Any]] = {
        "ready": ready,
        "shares its archive": ready,
        "not verified": ready | {"archive_path": "b.zip", "archive_sha256": ""},
        "queued": {"queued_at": now - timedelta(hours=1)},
        "cancelled": {"status": "failed", "error_message": "You cancelled this build."},
        "failed": {
            "status": "failed",
            "error_message": "3 files are not as the catalog says; …",
            "provenance": {"datasets": [], "left_out": 3},
        },
        "expired": {"status": "expired", "finished_at": now - timedelta(days=20)},
    }
    for title, values in rows.items():
        collections.create(user=user, title=title, slug="a", **values)

    after = migrate_to_now().get_model("collections_app", "Collection").objects
    found = {each.title: each for each in after.all()}
    builds = {title: each.builds.get() for title, each in found.items()}
    assert {title: (each.status, builds[title].reason) for title, each in found.items()} == {
        "ready": ("ready", ""),
        "shares its archive": ("pending", ""),
        "not verified": ("pending", ""),
        "queued": ("pending", ""),
        "cancelled": ("failed", "cancelled"),
        "failed": ("failed", "files_changed"),
        "expired": ("expired", ""),
    }
    for title, build in builds.items():
        assert (build.finished_at is None) == (found[title].status == "pending")
    assert (found["ready"].archive_path, found["ready"].verified_at) == ("a.zip", now)
    assert (builds["ready"].attempts, builds["shares its archive"].attempts) == (2, 0)
    assert builds["queued"].queued_at == now - timedelta(hours=1)
    assert found["failed"].provenance == {"datasets": [], "excluded": 3}


def test_the_problems_of_failed_builds_are_counted() -> None:
    make_dataset(files=3)
    failed = as_failed(make_collection(""), num_bad=2)
    ready = make_collection("", title="Ready")
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    try:
        migrate([("collections_app", "0011_program")])
    finally:
        migrate(newest)
    numbers = [each.last_build and each.last_build.num_problems for each in (failed, ready)]
    assert numbers == [2, 0]
