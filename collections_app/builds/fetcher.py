"""Fetches items in threads: lists each, and brings its files into the cache."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings

from catalog.storage.addresses import is_of_idc
from catalog.storage.ahead import FetchAhead
from catalog.storage.cache import CacheFull, FileCache, Room
from catalog.storage.disk import BLOCK, count_bytes
from catalog.storage.download import FetchedFile
from catalog.storage.problems import (
    Changed,
    ListedFile,
    NotAllowed,
    SourceProblem,
    Unreachable,
    require_bytes,
    require_number,
)
from catalog.storage.retries import try_again
from catalog.storage.series import hash_files
from catalog.storage.sources import list_files
from catalog.wording.formats import count_of, file_size
from collections_app.archive import fold_name, safe_name
from collections_app.builds.fetch_journal import FetchJournal
from collections_app.builds.lease import Heartbeat
from collections_app.selection.fetch_quota import explain_full_day
from collections_app.selection.to_fetch import ToFetch


class DayIsFull(SourceProblem):
    """No more may be fetched for the owner today."""


@dataclass(slots=True)
class FetchItem:
    """An item to fetch; ``sha256`` is empty until it was fetched for the first time.

    ``num_files`` are those of a series as the catalog knows, 0 if it does not; ``num_bytes`` came
    of it in this build, as they count for limits.
    """

    position: int
    address: str
    sha256: str
    dataset: str
    num_files: int
    known: list[FetchedFile] = field(default_factory=list)
    num_bytes: int = 0

    @property
    def is_series(self) -> bool:
        return self.address.endswith("/*")

    @property
    def must_be_known(self) -> bool:
        """Whether it must be what is ``known``: it was frozen so, or its place changes nothing."""
        return bool(self.sha256) or is_of_idc(self.address)

    def hash_files(self, files: Sequence[FetchedFile]) -> str:
        """The item's SHA-256, from those of its files."""
        if not self.is_series:
            return files[0].sha256
        return hash_files((f"{each.name}{each.suffix}", each.sha256) for each in files)


class Fetcher:
    """Fetches items in threads; the database and the lease stay with the caller's thread."""

    def __init__(
        self,
        cache: FileCache,
        holder: str,
        journal: FetchJournal,
        expected: ToFetch,
        *,
        bytes_here: int,
        is_suspect: bool,
    ) -> None:
        """``bytes_here`` are those of the collection's files that are not fetched."""
        self._cache, self._holder, self._is_suspect = cache, holder, is_suspect
        self._journal = journal
        self._expected = expected
        self._fetched, self._cached, self._counting = 0, 0, threading.Lock()
        self._besides = 0
        self._num_listed = 0
        # What files of less than a block count beyond their bytes, and what came in vain.
        self._rounded_up = 0
        self._admitted = 0
        # What a source lists may be a little more than the catalog knew.
        known = expected.num_bytes + expected.num_bytes // 20
        self._max_bytes = max(settings.FETCH_MAX_BYTES, known)
        # Of files in the archive, also of those that are in the cache.
        self._max_size = max(settings.COLLECTION_MAX_BYTES - bytes_here, known)
        self._size = 0
        self._done = 0
        self._ahead = FetchAhead(self._fetch, lambda item: len(item.known))

    @property
    def num_bytes(self) -> int:
        """The bytes that have come, as they count for limits."""
        return self._fetched + self._rounded_up

    def close(self, *, is_done: bool) -> None:
        """End all transfers; the files that have come are kept."""
        self._ahead.close()
        self._journal.close(is_done=is_done)

    def run(
        self, items: Iterable[FetchItem], heartbeat: Heartbeat
    ) -> Iterator[tuple[FetchItem, list[FetchedFile] | SourceProblem]]:
        """Each item with its files or with its problem, in order; the next are on their way.

        Raises CacheFull or DayIsFull: the others could not come, either.
        """
        # Before the first transfer, which is to know what is left of the day.
        self._report(heartbeat)
        for item, outcome in self._ahead.run(items, lambda: self._report(heartbeat)):
            if isinstance(outcome, CacheFull | DayIsFull):
                raise outcome
            self._done += 1
            yield item, outcome
        self._report(heartbeat)
        # Also of short builds.
        heartbeat.touch(now=True)

    def _report(self, heartbeat: Heartbeat) -> None:
        heartbeat.fetched(
            self._done,
            self._fetched,
            of_images=self._expected.num_images,
            of_size=self._estimate() - self._cached,
            rounded_up=self._rounded_up,
            cached=self._cached,
        )
        self._besides = heartbeat.fetched_besides

    def _estimate(self) -> int:
        """The bytes of all items: as the catalog knows, else as those listed have on average."""
        expected = self._expected
        with self._counting:
            size, num_listed = self._size, self._num_listed
        if not expected.num_unsized or not num_listed:
            return expected.num_bytes
        return max(expected.num_bytes, size * expected.num_images // num_listed)

    def _fetch(self, item: FetchItem) -> list[FetchedFile]:
        if self._is_suspect:
            for each in item.known:
                self._cache.remove_if_damaged(each.sha256)
                self._ahead.check_stopped()
        if item.known and item.must_be_known and self._use_all(item, item.known):
            sizes = [each.size for each in item.known]
            self._admit(sizes, counted=0)
            self._add_cached(sum(sizes))
            return item.known
        return self._ahead.ask(item.address, lambda: self._fetch_listed(item))

    def _fetch_listed(self, item: FetchItem) -> list[FetchedFile]:
        on_bytes = partial(self._add, item)
        listed = try_again(lambda: list_files(item.address, on_page=self._ahead.admit), on_bytes)
        self._ahead.check_stopped()
        if item.is_series and item.sha256:  # which says whether it is the same
            listed = [file for file in listed if file.size]
        elif item.is_series:
            require_bytes(listed)
            require_number(len(listed), item.num_files)
        sizes = [file.size for file in listed]
        counted = count_bytes(sizes)
        self._admit(sizes, counted=counted)
        try:
            return self._fetch_admitted(item, listed)
        except SourceProblem:
            # It will not be in the archive; what came of it, came.
            with self._counting:
                self._size -= sum(sizes)
                self._num_listed -= 1
                self._admitted -= max(0, counted - item.num_bytes)
            raise

    def _fetch_admitted(self, item: FetchItem, listed: list[ListedFile]) -> list[FetchedFile]:
        names = [file.name for file in listed]
        if item.is_series:  # a single object has the item's own name
            _refuse_unsafe(names)
        known = item.known
        if item.must_be_known:
            _require_same(known, listed)
        else:
            known = _keep_unchanged(known, listed)
        with self._cache.reserve([file.size for file in listed]) as room:
            return self._fetch_all(item, listed, {each.name: each for each in known}, room)

    def _fetch_all(
        self, item: FetchItem, listed: list[ListedFile], known: dict[str, FetchedFile], room: Room
    ) -> list[FetchedFile]:
        found: dict[str, FetchedFile] = {}
        futures = []
        for file in listed:
            before = known.get(file.name) or self._journal.find(item.address, file)
            if before and self._use(before):
                room.take(before.size)
                self._add_cached(before.size)
                found[file.name] = before
                continue
            is_frozen = item.must_be_known and file.name in known
            sha256 = known[file.name].sha256 if is_frozen else ""
            fetch = partial(self._fetch_file, item, file, sha256, room)
            futures.append(self._ahead.files.submit(fetch))
        try:
            found |= {each.name: each for each in (future.result() for future in futures)}
        except BaseException:
            # What is on its way has room only until this ends. A future that was cancelled is never
            # done for ``wait``, if the pool is closed meanwhile.
            wait([future for future in futures if not future.cancel()])
            raise
        files = _keep_apart([found[file.name] for file in listed])
        if not self._use_all(item, files):
            raise Unreachable("the files were removed from the cache while others were fetched")
        return files

    def _admit(self, sizes: Sequence[int], *, counted: int) -> None:
        """Count an item's files; raise NotAllowed where sizes were not known at the freeze.

        ``counted`` are the bytes that count for what is fetched.
        """
        size = sum(sizes)
        with self._counting:
            if self._size + size > self._max_size:
                raise NotAllowed(_explain_too_large(size))
            if self._admitted + counted > self._max_bytes:
                raise NotAllowed(_explain_too_much(size, counted, len(sizes)))
            self._size += size
            self._admitted += counted
            self._num_listed += 1

    def _fetch_file(
        self, item: FetchItem, file: ListedFile, sha256: str, room: Room
    ) -> FetchedFile:
        self._require_room_today(count_bytes([file.size]))
        on_bytes = partial(self._add, item)
        fetched = self._cache.fetch(item.address, file, sha256=sha256, on_bytes=on_bytes, room=room)
        self._use(fetched)
        self._journal.add(item.address, file, fetched)
        rounded_up = count_bytes([fetched.size]) - fetched.size
        with self._counting:
            self._rounded_up += rounded_up
            item.num_bytes += rounded_up
        return fetched

    def _use_all(self, item: FetchItem, files: Sequence[FetchedFile]) -> bool:
        """Keep the files for this build; False if one is not in the cache.

        Raises:
            Changed: they are not what was frozen.
        """
        if item.sha256 and item.hash_files(files) != item.sha256:
            raise Changed("it is no longer what was frozen (SHA-256)")
        return all(self._use(each) for each in files)

    def _use(self, file: FetchedFile) -> bool:
        """Keep a file until the archive is written; False if it is not in the cache, whole."""
        if not self._cache.has_whole(file.sha256, file.size):
            return False
        try:
            self._cache.use(file.sha256, self._holder)
        except FileNotFoundError:
            return False
        return True

    def _add(self, item: FetchItem, count: int) -> None:
        with self._counting:
            self._fetched += count
            item.num_bytes += max(0, count)
            # What came in vain is no progress, and counts.
            self._rounded_up += max(0, -count)
        self._ahead.check_stopped()
        # A file that had room may have it no more: others, also of other builds, came meanwhile.
        if count > 0:
            self._require_room_today(0)

    def _require_room_today(self, more: int) -> None:
        if problems := explain_full_day(self._besides + self.num_bytes, more):
            raise DayIsFull(*problems)

    def _add_cached(self, count: int) -> None:
        with self._counting:
            self._cached += count


def _explain_too_large(size: int) -> str:
    most = file_size(settings.COLLECTION_MAX_BYTES)
    return f"with its {file_size(size)} this collection would hold more than {most} of files"


def _explain_too_much(size: int, counted: int, num_files: int) -> str:
    small = ""
    if counted > size:
        small = f", in {count_of(num_files, 'file')} that count as at least {BLOCK:,} bytes each,"
    return (
        f"with its {file_size(size)}{small} more than {file_size(settings.FETCH_MAX_BYTES)} "
        "would be fetched for this collection"
    )


def _refuse_unsafe(names: list[str]) -> None:
    """Raises Changed for names that would not be the same in an archive."""
    unsafe = next((name for name in names if safe_name(name) != name), "")
    if unsafe:
        raise Changed(f"the source lists a file whose name is not safe in archives: {unsafe!r}")
    if len(set(map(fold_name, names))) < len(names):
        raise Changed("the source lists files whose names differ by their case only")


def _require_same(known: list[FetchedFile], listed: list[ListedFile]) -> None:
    """Raises Changed if files are known, and the source lists others, by their sizes.

    Their names are part of what is frozen, with the endings that they may lack at the source.
    """
    if known and sorted(file.size for file in listed) != sorted(file.size for file in known):
        raise Changed("the source lists other files than when it was first fetched")


def _keep_unchanged(known: list[FetchedFile], listed: list[ListedFile]) -> list[FetchedFile]:
    """The known files whose owner has not changed them since another collection was built."""
    told = {file.name: (file.tag, file.size) for file in listed if file.tag}
    return [file for file in known if told.get(file.name) == (file.tag, file.size)]


def _keep_apart(files: list[FetchedFile]) -> list[FetchedFile]:
    """The files of a series, without suffixes if with them two had one name."""
    names = {fold_name(f"{each.name}{each.suffix}") for each in files}
    return files if len(names) == len(files) else [each._replace(suffix="") for each in files]
