"""Fetching what a collection needs from elsewhere into the cache, before its archive is written.

The SHA-256 of a series is described in ``catalog.storage.series``; that of a single object is its
own.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Sum

from catalog.models import RemoteFile
from catalog.storage.buckets import (
    Changed,
    SourceProblem,
    Unreachable,
    list_files,
)
from catalog.storage.cache import CacheFull, FetchedFile, FileCache
from catalog.storage.series import hash_files
from collections_app.archive import fold_name, safe_name
from collections_app.builds.lease import Claim, Heartbeat
from collections_app.models import MAX_PROBLEM, Build, Collection
from collections_app.selection import queries
from collections_app.selection.file_count import keep_number_of_files
from collections_app.selection.fingerprint import finalize_items
from collections_app.selection.item_texts import set_item_texts
from collections_app.selection.to_fetch import FETCH, ToFetch, count_items_to_fetch

# Series that are listed and fetched at a time; their files share FETCH_PARALLEL transfers.
SERIES_AT_ONCE = 4
BATCH = 200
WAIT_SECONDS = 0.5
# So many in a row show that the source does not answer at all.
MAX_UNREACHABLE = 8


@dataclass(slots=True)
class _Item:
    """An item to fetch; ``sha256`` is empty until it was fetched for the first time."""

    position: int
    address: str
    sha256: str
    known: list[FetchedFile] = field(default_factory=list)

    def hash_files(self, files: Sequence[FetchedFile]) -> str:
        """The item's SHA-256, from those of its files."""
        if not self.address.endswith("/*"):
            return files[0].sha256
        return hash_files((each.name, each.sha256) for each in files)


class FetchFailed(Exception):
    """Some items cannot be had; ``kinds`` are the types of their problems."""

    def __init__(self, kinds: set[type[SourceProblem]], number: int) -> None:
        super().__init__(kinds, number)
        self.kinds, self.number = kinds, number


class _Stopped(Exception):
    """The build is over; a transfer ends here."""


def fetch_files(claim: Claim, heartbeat: Heartbeat) -> None:
    """Bring the files of all items to fetch into the cache, and learn their hashes.

    The files are kept for this attempt until ``release_files``. What is in the cache is not fetched
    again. Afterwards the collection's numbers are exact.

    Raises:
        FetchFailed: some cannot be had; each of their items says why.
        CacheFull: there is no room.
        LeaseLost: the build is no longer this worker's.
        OSError: the disk.
    """
    collection = claim.collection
    if not collection.options.get(FETCH):
        return
    cache, user = FileCache(), str(claim.token)
    cache.remove_partials()
    release_stale()
    items = _iter_items(collection)
    fetcher = _Fetcher(cache, user, count_items_to_fetch(collection))
    problems: dict[int, SourceProblem] = {}
    try:
        for batch in iter(lambda: list(islice(items, BATCH)), []):
            done: list[tuple[_Item, list[FetchedFile]]] = []
            for item, outcome in fetcher.run(batch, heartbeat):
                if isinstance(outcome, SourceProblem):
                    problems[item.position] = outcome
                else:
                    done.append((item, outcome))
            _keep(collection, done)
    finally:
        fetcher.close()
    if problems:
        texts = ((at, str(problem)[:MAX_PROBLEM]) for at, problem in sorted(problems.items()))
        set_item_texts(collection, "problem", texts)
        raise FetchFailed({type(each) for each in problems.values()}, len(problems))
    _recount(collection)


def folder_of_fetched(claim: Claim) -> Path:
    """Where the fetched files of this attempt are, each by its SHA-256."""
    return FileCache().folder_of(str(claim.token))


def release_files(claim: Claim) -> None:
    """The attempt is over: its files may be removed from the cache when room is needed."""
    if claim.collection.options.get(FETCH):
        FileCache().release(str(claim.token))


def release_stale() -> int:
    """Let go of the files of attempts that are over, whose workers were killed; their number."""
    cache = FileCache()
    # Before the builds: an attempt that begins in between is not among them.
    users = cache.users()
    builds = Build.objects.unfinished().filter(attempt_token__isnull=False)
    running = {str(token) for token in builds.values_list("attempt_token", flat=True)}
    over = [user for user in users if user not in running]
    for user in over:
        cache.release(user)
    return len(over)


def _iter_items(collection: Collection) -> Iterator[_Item]:
    rows = collection.items.to_fetch().order_by("position")
    names = ("position", "metadata_json__remote_url", "sha256")
    last = 0
    while found := list(rows.filter(position__gt=last).values_list(*names)[:BATCH]):
        items = [_Item(*row) for row in found]
        known: dict[str, list[FetchedFile]] = {}
        files = RemoteFile.objects.filter(address__in=[item.address for item in items])
        for file in files:
            facts = FetchedFile(file.name, file.size_bytes, file.sha256, file.crc32)
            known.setdefault(file.address, []).append(facts)
        for item in items:
            item.known = known.get(item.address, [])
        yield from items
        last = items[-1].position


class _Fetcher:
    """Fetches items in threads; the database and the lease stay with the caller's thread."""

    def __init__(self, cache: FileCache, user: str, expected: ToFetch) -> None:
        self._cache, self._user = cache, user
        self._room = threading.Lock()
        self._stopped = threading.Event()
        self._expected = expected
        self._fetched, self._cached, self._counting = 0, 0, threading.Lock()
        self._unreachable = 0
        self._files = ThreadPoolExecutor(settings.FETCH_PARALLEL, "fetch")
        self._series = ThreadPoolExecutor(SERIES_AT_ONCE, "series")
        self._done = 0

    def close(self) -> None:
        """End all transfers; the files that have come are kept."""
        self._stopped.set()
        self._files.shutdown(wait=False, cancel_futures=True)
        self._series.shutdown(cancel_futures=True)
        self._files.shutdown()

    def run(
        self, items: Sequence[_Item], heartbeat: Heartbeat
    ) -> Iterator[tuple[_Item, list[FetchedFile] | SourceProblem]]:
        """Each item with its files or with its problem, in order."""
        waiting = deque((item, self._series.submit(self._fetch, item)) for item in items)
        while waiting:
            item, future = waiting.popleft()
            yield item, self._await(future, heartbeat)
            self._done += 1
        self._report(heartbeat)
        # What was fetched counts for the owner's limit of a day, also of short builds.
        heartbeat.touch(now=True)

    def _await(
        self, future: "Future[list[FetchedFile]]", heartbeat: Heartbeat
    ) -> list[FetchedFile] | SourceProblem:
        while True:
            self._report(heartbeat)
            try:
                return future.result(WAIT_SECONDS)
            except TimeoutError:
                if future.done():  # the disk's, not that of waiting
                    raise
            except CacheFull:
                raise
            except SourceProblem as problem:
                return problem

    def _report(self, heartbeat: Heartbeat) -> None:
        heartbeat.fetched(
            self._done,
            self._fetched,
            of_images=self._expected.num_images,
            of_size=self._expected.num_bytes - self._cached,
        )

    def _fetch(self, item: _Item) -> list[FetchedFile]:
        if item.known and self._use_all(item, item.known):
            self._add_cached(sum(each.size for each in item.known))
            return item.known
        if self._unreachable >= MAX_UNREACHABLE:
            raise Unreachable("the source did not answer, for this and for others before")
        try:
            files = self._fetch_listed(item)
        except Unreachable:
            self._unreachable += 1
            raise
        self._unreachable = 0
        return files

    def _fetch_listed(self, item: _Item) -> list[FetchedFile]:
        listed = list_files(item.address)
        self._add(0)
        names = [file.name for file in listed]
        if len(set(map(fold_name, names))) < len(names) or any(safe_name(n) != n for n in names):
            raise Changed("the source lists files whose names are not safe")
        known = {each.name: each for each in item.known}
        if known and [(f.name, f.size) for f in listed] != sorted(
            (each.name, each.size) for each in known.values()
        ):
            raise Changed("the source lists other files than when it was first fetched")
        with self._room:
            self._cache.make_room(sum(file.size for file in listed))
        futures = []
        for file in listed:
            before = known.get(file.name)
            if before and self._cache.has(before.sha256, before.size):
                self._add_cached(before.size)
                continue
            sha256 = before.sha256 if before else ""
            futures.append(
                self._files.submit(
                    self._cache.fetch, item.address, file, sha256=sha256, on_bytes=self._add
                )
            )
        try:
            found = {each.name: each for each in (future.result() for future in futures)}
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        files = [found.get(name) or known[name] for name in names]
        if not self._use_all(item, files):
            raise Unreachable("the files were removed from the cache while others were fetched")
        return files

    def _use_all(self, item: _Item, files: Sequence[FetchedFile]) -> bool:
        """Keep the files for this build; False if one is not in the cache.

        Raises:
            Changed: they are not what was frozen.
        """
        if item.sha256 and item.hash_files(files) != item.sha256:
            raise Changed("it is no longer what was frozen (SHA-256)")
        for each in files:
            if not self._cache.has(each.sha256, each.size):
                return False
            try:
                self._cache.use(each.sha256, self._user)
            except FileNotFoundError:
                return False
        return True

    def _add(self, count: int) -> None:
        if self._stopped.is_set():
            raise _Stopped
        with self._counting:
            self._fetched += count

    def _add_cached(self, count: int) -> None:
        with self._counting:
            self._cached += count


def _keep(collection: Collection, done: Sequence[tuple[_Item, list[FetchedFile]]]) -> None:
    """Keep what was learnt: of the files for every collection, of the items for this one."""
    new = [
        RemoteFile(address=item.address, name=name, size_bytes=size, sha256=sha256, crc32=crc32)
        for item, files in done
        if not item.known
        for name, size, sha256, crc32 in files
    ]
    RemoteFile.objects.bulk_create(new, batch_size=1000, ignore_conflicts=True)
    rows = [
        (
            item.position,
            item.hash_files(files),
            sum(each.size for each in files),
            len(files),
        )
        for item, files in done
    ]
    if rows:
        with connection.cursor() as cursor:
            columns = [list(column) for column in zip(*rows, strict=True)]
            cursor.execute(queries.SET_FETCHED, [*columns, collection.pk])


def _recount(collection: Collection) -> None:
    """The exact numbers of files and bytes, with which the archive's texts are written."""
    keep_number_of_files(collection)
    included = collection.items.included().exclude(file_name="")
    collection.num_bytes = included.aggregate(n=Sum("size_bytes"))["n"] or 0
    finalize_items(collection)
    collection.save(update_fields=["provenance", "num_bytes", "items_sha256", "updated_at"])
