"""Fetching what a collection needs from elsewhere into the cache, before its archive is written.

The SHA-256 of a series is described in ``catalog.storage.series``: the names are those in the
archive, where a DICOM file whose name has no ending gets ``.dcm``. That of a single object is its
own.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Sum
from django.db.models.fields.json import KT

from catalog.bulk.database_space import free_database_bytes
from catalog.models import RemoteFile
from catalog.storage.cache import CacheFull, FileCache
from catalog.storage.download import FetchedFile
from catalog.storage.problems import SourceProblem, read_number
from catalog.storage.sources import name_release
from collections_app.builds.fetch_journal import FetchJournal, remove_old_journals
from collections_app.builds.fetcher import Fetcher, FetchItem
from collections_app.builds.lease import Claim, Heartbeat
from collections_app.builds.queries import KEEP_REMOTE_FILES
from collections_app.models import MAX_PROBLEM, Build, Collection, Reason
from collections_app.provenance_keys import DATASETS
from collections_app.selection import queries
from collections_app.selection.database_space import BYTES_PER_ITEM, require_room
from collections_app.selection.file_count import keep_number_of_files
from collections_app.selection.fingerprint import finalize_items
from collections_app.selection.item_texts import set_item_texts
from collections_app.selection.to_fetch import FETCH, count_items_to_fetch

BATCH = 50
# What is learnt of so many files is kept at once, however few items they are.
MAX_UNKEPT = 5_000
# For so few rows of a build the room that a freeze finds for its items is enough.
FEW_ROWS = 500


class FetchFailed(Exception):
    """Some items cannot be had; ``kinds`` are the types of their problems."""

    def __init__(self, kinds: set[type[SourceProblem]], number: int) -> None:
        super().__init__(kinds, number)
        self.kinds, self.number = kinds, number


def fetch_files(claim: Claim, heartbeat: Heartbeat) -> None:
    """Bring the files of all items to fetch into the cache, and learn their hashes.

    The files are kept for this attempt until ``release_files``. What is in the cache is not fetched
    again. Afterwards the collection's numbers are exact.

    Raises:
        FetchFailed: some cannot be had; each of their items says why.
        CacheFull: there is no room.
        DayIsFull: no more may be fetched for the owner today.
        DatabaseIsFull: more problems would take the database's reserve.
        LeaseLost: the build is no longer this worker's.
        OSError: the disk.
    """
    collection = claim.collection
    if not collection.options.get(FETCH):
        return
    cache, holder = FileCache(), str(claim.token)
    cache.remove_partials()
    remove_old_journals()
    release_stale()
    # Its archive had other bytes than it should: they may be those of the cache.
    suspicious = (Reason.FILES_CHANGED, Reason.ARCHIVE_DAMAGED)
    is_suspect = collection.builds.filter(reason__in=suspicious).exists()
    journal = FetchJournal(str(collection.uuid))
    expected = count_items_to_fetch(collection)
    bytes_here = _count_bytes(collection) - expected.num_bytes
    fetcher = Fetcher(
        cache, holder, journal, expected, bytes_here=bytes_here, is_suspect=is_suspect
    )
    kinds: list[type[SourceProblem]] = []
    num_kept, is_done = 0, False
    releases = {each["slug"]: each.get("idc_release", "")
                for each in collection.provenance[DATASETS]}  # fmt: skip
    try:
        done: list[tuple[FetchItem, list[FetchedFile]]] = []
        for item, outcome in fetcher.run(_iter_items(collection), heartbeat):
            if isinstance(outcome, SourceProblem):
                release = releases.get(item.dataset, "")
                problem = name_release(outcome, item.address, release)
                kinds.append(type(problem))
                # At once: the progress tells of those that cannot be had.
                text = str(problem)[:MAX_PROBLEM]
                set_item_texts(collection, "problem", [(item.position, text)])
                heartbeat.missing(len(kinds))
                if len(kinds) % FEW_ROWS == 0:
                    require_room()
            else:
                done.append((item, outcome))
            if len(done) == BATCH or sum(len(files) for _, files in done) > MAX_UNKEPT:
                num_kept += _keep(collection, done, num_kept)
                done.clear()
        _keep(collection, done, num_kept)
        is_done = not kinds
    finally:
        fetcher.close(is_done=is_done)
        heartbeat.finish_fetching(fetcher.num_bytes)
    if kinds:
        raise FetchFailed(set(kinds), len(kinds))
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
    holders = cache.holders()
    builds = Build.objects.unfinished().filter(attempt_token__isnull=False)
    running = {str(token) for token in builds.values_list("attempt_token", flat=True)}
    over = [holder for holder in holders if holder not in running]
    for holder in over:
        cache.release(holder)
    return len(over)


def _iter_items(collection: Collection) -> Iterator[FetchItem]:
    names = ("position", "metadata_json__remote_url", "sha256", "metadata_json__dataset")
    # As a text: a number of thousands of digits cannot be read.
    num_files = KT("metadata_json__source__instances")
    rows = collection.items.to_fetch().order_by("position").values_list(*names, num_files)
    last = 0
    while found := list(rows.filter(position__gt=last)[:BATCH]):
        last = found[-1][0]
        yield from _make_items(found)


def _make_items(rows: Sequence[tuple[Any, ...]]) -> Iterator[FetchItem]:
    """The items with the files that are known of them, of which not too many are read at once.

    They are those of the time when the item was frozen, or else what its source had last.
    """
    items = [
        FetchItem(position, address, sha256, dataset, read_number(address, told))
        for position, address, sha256, dataset, told in rows
    ]
    files = RemoteFile.objects.filter(address__in=[item.address for item in items])
    states = files.values_list("address", "item_sha256").annotate(at=Max("fetched_at"))
    counts: dict[tuple[str, str], int] = {}
    newest: dict[str, str] = {}
    for address, sha256, _, count in states.annotate(Count("pk")).order_by("at"):
        counts[address, sha256] = count
        newest[address] = sha256
    some: list[tuple[FetchItem, str]] = []
    num_files = 0
    for item in items:
        state = item.sha256 or newest.get(item.address, "")
        count = counts.get((item.address, state), 0)
        if some and num_files + count > MAX_UNKEPT:
            yield from _find_known(some)
            some, num_files = [], 0
        some.append((item, state))
        num_files += count
    yield from _find_known(some)


def _find_known(items: Sequence[tuple[FetchItem, str]]) -> Iterator[FetchItem]:
    """The items, with the files that are known of them in these states."""
    known: dict[tuple[str, str], list[FetchedFile]] = {
        (item.address, state): [] for item, state in items
    }
    rows = RemoteFile.objects.filter(
        address__in=[address for address, _ in known], item_sha256__in=[sha for _, sha in known]
    ).values_list(
        "address", "item_sha256", "name", "size_bytes", "sha256", "crc32", "suffix", "tag"
    )
    for address, state, *facts in rows:
        if (address, state) in known:
            known[address, state].append(FetchedFile._make(facts))
    for item, state in items:
        files = known[item.address, state]
        # What was kept of a series when it was not complete is not what it has.
        if item.sha256 or not item.is_series or item.num_files in (0, len(files)):
            item.known = files
        yield item


def _keep(
    collection: Collection, done: Sequence[tuple[FetchItem, list[FetchedFile]]], num_before: int
) -> int:
    """Keep what was learnt: of the files for every collection, of the items for this one.

    What a source had before stays, as archives that are not verified yet consist of it. Returns
    the number of rows that were written; ``num_before`` are those of this build before them.
    """
    hashed = [(item, files, item.hash_files(files)) for item, files in done]
    new = [
        (item.address, sha256, *each)
        for item, files, sha256 in hashed
        if set(files) != set(item.known)
        for each in files
    ]
    num_rows = len(new) + len(done)
    if num_before + num_rows > FEW_ROWS:
        _require_database_room(num_rows)
    if new:
        # In one order, so that two builds that keep the same do not wait for each other. Two items
        # may have one address.
        _execute_with_columns(KEEP_REMOTE_FILES, sorted({row[:3]: row for row in new}.values()))
    rows = [
        (
            item.position,
            sha256,
            sum(each.size for each in files),
            len(files),
            "" if item.is_series else files[0].suffix,
        )
        for item, files, sha256 in hashed
    ]
    if rows:
        _execute_with_columns(queries.SET_FETCHED, rows, collection.pk)
    return num_rows


def _require_database_room(num_rows: int) -> None:
    """Raises CacheFull; a row of a file takes about as much as one of an item."""
    free = free_database_bytes()
    if free is not None and free < num_rows * BYTES_PER_ITEM:
        raise CacheFull("the server's database has no room for what is learnt of the files")


def _execute_with_columns(query: str, rows: Sequence[tuple[Any, ...]], *more: int) -> None:
    """One statement for thousands of rows, as models would take a third of the fetching's time."""
    with connection.cursor() as cursor:
        cursor.execute(query, [*map(list, zip(*rows, strict=True)), *more])


def _recount(collection: Collection) -> None:
    """The exact numbers of files and bytes, with which the archive's texts are written."""
    keep_number_of_files(collection)
    collection.num_bytes = _count_bytes(collection)
    finalize_items(collection)
    collection.save(update_fields=["provenance", "num_bytes", "items_sha256", "updated_at"])


def _count_bytes(collection: Collection) -> int:
    """The bytes of all files, as far as they are known."""
    included = collection.items.included().exclude(file_name="")
    return included.aggregate(n=Sum("size_bytes"))["n"] or 0
