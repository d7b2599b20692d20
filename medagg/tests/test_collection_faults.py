"""Collections while the servers themselves die: Redis, PostgreSQL, and everything at once.

The clock of Celery runs here as it does in a deployment, so that nothing but time is needed for
all to come right again.
"""

import json
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image

from medagg.testing.private_site import PrivateSite, private_site
from medagg.tests.processes import any_alive, find_descendants, linux_only
from medagg.tests.site import Site

pytestmark = [linux_only, pytest.mark.waits]

FILES = 200
QUICK = {"BUILD_LEASE_SECONDS": "2", "SWEEP_SECONDS": "1"}
# One process for pages and one for builds are enough here, and start faster.
UP = ("--port", "0", "--workers", "1")

CREATE = """
from django.contrib.auth.models import User
from django.http import QueryDict
from catalog.search.filters import ImageFilterSet
from collections_app.services import create_collection
user, _ = User.objects.get_or_create(username="ada")
for title in {titles!r}:
    filters = ImageFilterSet(QueryDict(""))
    create_collection(user=user, title=title, filters=filters, expected_images=filters.total,
                      notify={notify})
"""
READ = """
import json, zipfile
from django.test import Client
from django.conf import settings
from collections_app.models import Collection
settings.ALLOWED_HOSTS = ["testserver"]
settings.DEBUG = True  # static files by their plain names, which need not be collected
browser, pages = Client(), {}
for each in Collection.objects.select_related("user"):
    browser.force_login(each.user)
    pages[each.title] = browser.get(each.get_absolute_url()).content.decode()
print(json.dumps(pages))
"""
ROWS = """
    SELECT title, status, error_message, attempts, attempt_token, archive_path, verified_at
      FROM collections_app_collection collection
      JOIN collections_app_build build ON build.collection_id = collection.id
     ORDER BY collection.id
"""


def make_pictures(folder: Path) -> None:
    """Small pictures, no two of them the same."""
    folder.mkdir(parents=True)
    for number in range(FILES):
        Image.new("L", (4 + number % 50, 4 + number // 50)).save(folder / f"{number:04}.png")


@pytest.fixture(scope="module")
def site() -> Iterator[PrivateSite]:
    with private_site(**QUICK) as site:
        pictures = site.var / "datasets" / "pictures"
        make_pictures(pictures / "nodule")
        site.manage("load_vocab")
        site.manage("import_dataset", str(pictures), "--modality", "dx")
        site.start_worker()
        site.start_beat()
        yield site


@pytest.fixture(autouse=True)
def no_collections(site: PrivateSite) -> None:
    """Row by row, as the sweep reads on: TRUNCATE locks whole tables and would deadlock with it."""
    site.query(
        "DELETE FROM collections_app_collection;"
        "DELETE FROM collections_app_build;"
        "DELETE FROM collections_app_collectionitem"
    )


def create(site: PrivateSite, *titles: str, notify: bool = True) -> None:
    code = CREATE.format(titles=titles, notify=notify)
    site.manage("shell", "--no-imports", "-c", code)


@contextmanager
def held(site: PrivateSite, *titles: str) -> Iterator[Callable[[], None]]:
    """New collections, the first of which is being written and gets no further.

    Yields what lets it go on; the end of the database does so, too.
    """
    create(site, *titles, notify=False)
    with closing(site.connect()) as connection:
        connection.cursor().execute("LOCK TABLE catalog_image IN ACCESS EXCLUSIVE MODE")
        # The sweep finds them, without any message.
        site.query("UPDATE collections_app_build SET notified_at = now() - interval '1 hour'")
        site.wait_for(lambda: is_being_written(site), "a build in its middle")
        yield connection.rollback


def is_being_written(site: PrivateSite) -> bool:
    tokens = [str(row[4]) for row in site.query(ROWS) if row[4]]
    return any(token in name for name in site.archives for token in tokens)


def wait_until_verified(site: PrivateSite, number: int) -> None:
    def are_verified() -> bool:
        rows = site.query(ROWS)
        assert not [row for row in rows if row[1] == "failed"], rows
        return len(rows) == number and all(row[6] for row in rows)

    site.wait_for(are_verified, "all to be ready and verified")


def assert_all_is_well(site: PrivateSite, *titles: str) -> None:
    """Every collection is ready, its verified archive on its page, and no other file is there."""
    wait_until_verified(site, len(titles))
    rows = site.query(ROWS)
    assert [row[0] for row in rows] == list(titles)
    site.wait_for(lambda: site.archives == sorted({row[5] for row in rows}), "strays to be gone")
    pages = json.loads(site.manage("shell", "--no-imports", "-c", READ))
    assert all("Download ZIP" in pages[title] and "verified" in pages[title] for title in titles)
    for row in rows:
        with zipfile.ZipFile(site.var / "archives" / row[5]) as archive:
            assert archive.testzip() is None


def test_redis_is_killed_and_comes_back_empty(site: PrivateSite) -> None:
    """While one build runs and two wait; a fourth is asked for while there is no Redis."""
    with held(site, "Runs", "Waits", "Waits too") as release:
        site.kill_redis()
        release()
        create(site, "Asked for meanwhile")
    site.start_redis()
    assert_all_is_well(site, "Runs", "Waits", "Waits too", "Asked for meanwhile")


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT], ids=["crash", "restart"])
def test_postgresql_is_restarted_in_the_middle_of_a_build(
    site: PrivateSite, number: signal.Signals
) -> None:
    with held(site, "Runs", "Waits"):
        site.end_postgres(number)
        site.wait_for(lambda: not is_any_partial(site), "the worker to give up its file")
    site.start_postgres()
    assert_all_is_well(site, "Runs", "Waits")
    assert max(row[3] for row in site.query(ROWS)) == 2, "the first attempt was broken off"


def is_any_partial(site: PrivateSite) -> bool:
    return any(name.endswith(".part") for name in site.archives)


def test_everything_dies_and_is_started_again(site: PrivateSite) -> None:
    """As in a power failure: `manage.py up` with its servers, its worker and its clock."""
    site.stop()
    first = Site(site.var, *UP, **QUICK).await_ready()
    with held(site, "Runs", "Waits"):
        kill_everything(first)
    assert is_any_partial(site), "nobody was left to remove it"
    time.sleep(1)

    second = Site(site.var, *UP, **QUICK).await_ready()
    try:
        assert_all_is_well(site, "Runs", "Waits")
    finally:
        second.send(signal.SIGINT)
        site.start()


def kill_everything(site: Site) -> None:
    everybody = {site.process.pid, *find_descendants(site.process.pid)}
    # First all stand still: else a worker sees PostgreSQL die and removes its file before its turn.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in everybody:
            with suppress(ProcessLookupError):  # one of those before took it along
                os.kill(pid, number)
    site.process.wait()
    deadline = time.monotonic() + 60
    while any_alive(everybody) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any_alive(everybody)
