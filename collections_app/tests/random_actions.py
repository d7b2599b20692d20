"""All actions on collections and their files, for hypothesis to try in any order.

Its own state is small: the damaged files, and the archives removed or changed from outside.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings as conf
from django.db.models import F
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from collections_app import services
from collections_app.builds.build import build_collection, build_or_fail
from collections_app.builds.lease import Claim, claim_build
from collections_app.builds.problems import count_problems
from collections_app.builds.queue import BUILD_TASK, VERIFY_TASK
from collections_app.builds.verification import verify_archive
from collections_app.models import Build, Collection, CollectionItem, Status
from collections_app.selection.refusals import NotBuildable
from collections_app.storage import archive_file, archive_store, partial_name
from collections_app.sweep import MIN_MISSING, sweep_collections
from collections_app.tests.factories import (
    UserFactory,
    files_in_archive_root,
    image_file,
    make_collection,
)
from medagg.celery import app

FILES = 4
QUERIES = ("", "sex=F", "q=rays")
USERS = ("ada", "ben")
PICK = st.integers(0, 11)
FILE = st.integers(0, FILES - 1)
REFUSALS = (services.NotPossibleNow, NotBuildable)
# An action may change other collections only by having their archives verified again.
UNTOUCHED = ("status", "error_message", "archive_path", "archive_size", "fingerprint", "expires_at",
             "num_images", "finished_at")  # fmt: skip


def there_are(*states: Status) -> Callable[[object], bool]:
    """Try a rule only where it may do something; refusals still happen often enough."""
    return lambda machine: Collection.objects.filter(status__in=states).exists()


class RandomActions(RuleBasedStateMachine):
    """``originals`` are the good files; ``sha256_of`` is kept for the whole run."""

    originals: ClassVar[dict[int, tuple[bytes, int]]] = {}
    sha256_of: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[Claim] = []
        # Files whose contents differ although size and time are the catalog's.
        self.forged: set[int] = set()
        # Archives that may have such contents, and those removed or overwritten.
        self.suspect: set[str] = set()
        self.taken: set[str] = set()
        self.seen: set[str] = set()

    def teardown(self) -> None:
        CollectionItem.objects.all()._raw_delete("default")
        Collection.objects.all().delete()
        for number in range(FILES):
            self._restore(number)
        for name in files_in_archive_root():
            archive_file(name).unlink()

    # --- Users ---
    @initialize()
    def begin_with_the_same_choice_twice(self) -> None:
        app.control.purge()
        for user in USERS:
            self.create(user, "")

    @precondition(lambda self: Collection.objects.count() < 8)
    @rule(user=st.sampled_from(USERS), query=st.sampled_from(QUERIES))
    def create(self, user: str, query: str) -> None:
        make_collection(query, user=UserFactory(username=user))

    @precondition(there_are(Status.FAILED, Status.EXPIRED))
    @rule(pick=PICK)
    def retry(self, pick: int) -> None:
        self._act(services.retry_collection, pick)

    @precondition(there_are(Status.READY, Status.FAILED, Status.EXPIRED))
    @rule(pick=PICK)
    def rebuild(self, pick: int) -> None:
        self._act(services.rebuild_collection, pick)

    @precondition(there_are(Status.PENDING))
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        self._act(services.cancel_build, pick)

    @precondition(there_are(Status.READY))
    @rule(pick=PICK)
    def expire(self, pick: int) -> None:
        self._act(services.expire_collection, pick)

    @precondition(there_are(Status.READY))
    @rule(pick=PICK)
    def extend(self, pick: int) -> None:
        self._act(services.extend_collection, pick)

    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        self._act(services.delete_collection, pick)

    @precondition(there_are(Status.FAILED))
    @rule(pick=PICK)
    def build_without_problems(self, pick: int) -> None:
        for collection in self._pick(pick):
            # The page offers it only under this condition.
            if 0 < count_problems(collection) < collection.num_images:
                self._act(services.build_without_problems, pick)

    def _act(self, action: Callable[..., Any], pick: int) -> None:
        for collection in self._pick(pick):
            others = Collection.objects.exclude(user_id=collection.user_id).order_by("pk")
            before = list(others.values_list("pk", *UNTOUCHED))
            with suppress(*REFUSALS):
                action(collection=collection)
            assert list(others.values_list("pk", *UNTOUCHED)) == before

    def _pick(self, pick: int) -> Iterator[Collection]:
        collections = list(Collection.objects.order_by("pk"))
        if collections:
            yield collections[pick % len(collections)]

    # --- Workers ---
    @precondition(there_are(Status.PENDING))
    @rule(pick=PICK)
    def build(self, pick: int) -> None:
        for collection in self._pick(pick):
            build_collection(collection_id=collection.pk)
            self._note_forged()

    @precondition(there_are(Status.PENDING))
    @rule(pick=PICK)
    def begin_a_build(self, pick: int) -> None:
        """A worker claims a build and writes a little; it may never continue."""
        for collection in self._pick(pick):
            claim = claim_build(collection_id=collection.pk)
            if claim:
                archive_file(partial_name(collection.uuid, claim.token)).write_bytes(b"PK")
                self.claims.append(claim)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def finish_a_build(self, pick: int) -> None:
        """A slow worker continues; another may have its build by now."""
        claim = self.claims.pop(pick % len(self.claims))
        build_or_fail(claim)
        self._note_forged()

    @precondition(there_are(Status.READY))
    @rule(pick=PICK)
    def prove(self, pick: int) -> None:
        for collection in self._pick(pick):
            path = collection.archive_path
            verify_archive(collection_id=collection.pk)
            if path and path not in self.suspect | self.taken:
                collection.refresh_from_db()
                assert collection.verified_at, "there was nothing wrong with it"
            self._forget_vanished()

    @rule()
    def sweep(self) -> None:
        sweep_collections()
        self._forget_vanished()
        assert self._seems_unmounted() or not any(map(is_missing, ready_collections()))

    @rule()
    def sweep_much_later(self) -> None:
        time.sleep(0.02)
        lease = conf.BUILD_LEASE_SECONDS
        conf.BUILD_LEASE_SECONDS = 0.001
        try:
            sweep_collections()
        finally:
            conf.BUILD_LEASE_SECONDS = lease
        self._forget_vanished()
        held = Build.objects.filter(attempt_token__isnull=False).select_related("collection")
        being_written = {f"{each.collection.uuid}.{each.attempt_token}.part" for each in held}
        rebuilds = Build.objects.unfinished().filter(replaces__has_key="archive_path")
        kept = {build.replaces["archive_path"] for build in rebuilds}
        strays = set(files_in_archive_root()) - being_written - kept - set(self._ready_paths())
        assert self._seems_unmounted() or not strays

    @rule()
    def lose_all_news_and_work_until_all_is_done(self) -> None:
        """Do what the sweep, or a task of it, has sent messages for."""
        app.control.purge()
        for _ in range(2):
            let_time_pass(hours=2)
            sweep_collections()
            do_what_is_sent()
        self._note_forged()
        self._forget_vanished()
        ready = Collection.objects.filter(status=Status.READY)
        assert not Collection.objects.pending().exists()
        assert not ready.filter(verified_at=None).exists()

    # --- Files and clocks ---
    @rule(number=FILE, how=st.sampled_from(["removed", "cut", "other", "forged"]))
    def damage(self, number: int, how: str) -> None:
        path, (content, mtime_ns) = image_file(number), self.originals[number]
        if how == "removed":
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(content[:-1] + (b"" if how == "cut" else b"!"))
        self.forged.discard(number)
        if how == "forged":
            os.utime(path, ns=(mtime_ns, mtime_ns))
            self.forged.add(number)

    @rule(number=FILE)
    def repair(self, number: int) -> None:
        self._restore(number)

    def _restore(self, number: int) -> None:
        content, mtime_ns = self.originals[number]
        image_file(number).write_bytes(content)
        os.utime(image_file(number), ns=(mtime_ns, mtime_ns))
        self.forged.discard(number)

    @precondition(there_are(Status.READY))
    @rule(pick=PICK, how=st.sampled_from(["deleted", "cut", "overwritten"]), at_once=st.booleans())
    def touch_an_archive(self, pick: int, how: str, at_once: bool) -> None:
        """Change an archive from outside; the sweep runs ``at_once`` or later."""
        if paths := self._ready_paths():
            path = paths[pick % len(paths)]
            self.taken.add(path)
            file = archive_file(path)
            if how == "deleted":
                file.unlink(missing_ok=True)
            elif file.exists():
                size = file.stat().st_size
                file.write_bytes(bytes(size - 1 if how == "cut" else size))
            if at_once:
                self.sweep()

    @precondition(there_are(Status.PENDING))
    @rule(pick=PICK)
    def let_a_lease_lapse(self, pick: int) -> None:
        for collection in self._pick(pick):
            leased = Build.objects.filter(collection=collection, attempt_token__isnull=False)
            leased.update(lease_expires_at=timezone.now() - timedelta(seconds=1))

    @rule(hours=st.sampled_from([1, 24 * 20, -1]))
    def let_time_pass(self, hours: int) -> None:
        let_time_pass(hours=hours)

    def _seems_unmounted(self) -> bool:
        """Whether so many of the oldest archives are missing that the sweep suspects the disk."""
        missing = [is_missing(each) for each in ready_collections()]
        number = missing.count(True)
        return number >= MIN_MISSING and all(missing[:number])

    def _ready_paths(self) -> list[str]:
        # Not by name: names are random, and hypothesis repeats the same actions.
        ready = Collection.objects.filter(status=Status.READY).order_by("pk")
        return list(ready.values_list("archive_path", flat=True))

    def _note_forged(self) -> None:
        """Archives that contain a forged file, or may do so."""
        names = [f"images/rays/deep/{number:03}.png" for number in self.forged]
        items = CollectionItem.objects.included().filter(file_name__in=names)
        ready = Collection.objects.filter(status=Status.READY, items__in=items)
        self.suspect |= set(ready.values_list("archive_path", flat=True)) - self.seen

    def _forget_vanished(self) -> None:
        self.taken &= set(self._ready_paths())


def ready_collections() -> list[Collection]:
    return list(Collection.objects.filter(status=Status.READY).order_by("finished_at"))


def is_missing(collection: Collection) -> bool:
    return not archive_store().has_archive(collection.archive_path, collection.archive_size)


TASKS: dict[str, Callable[..., None]] = {BUILD_TASK: build_collection, VERIFY_TASK: verify_archive}


def do_what_is_sent() -> None:
    """Work as a worker that takes one message after another from the queue."""
    for name in ("builds", "verify"):
        with app.connection_or_acquire() as broker, broker.SimpleQueue(name) as queue:
            while True:
                try:
                    message = queue.get(block=False)
                except queue.Empty:
                    break
                message.ack()
                TASKS[message.headers["task"]](collection_id=message.payload[0][0])


def let_time_pass(*, hours: int) -> None:
    """Make all rows older, as if the clock had jumped."""
    span = timedelta(hours=hours)
    times = ("queued_at", "notified_at", "lease_expires_at", "started_at", "finished_at")
    Build.objects.update(**{name: F(name) - span for name in times})
    Collection.objects.update(**{n: F(n) - span for n in ("finished_at", "expires_at")})
