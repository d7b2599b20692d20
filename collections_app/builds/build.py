"""Building an archive: claim the build, write outside any transaction, finish by token.

A worker owns a build until its lease lapses, and renews the lease while it writes. A worker that
has lost its lease finds another token when it finishes, and deletes only its own file.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import chain

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db.models import F, Q, Sum
from django.db.models.functions import Greatest

from catalog.storage.cache import CacheFull
from catalog.storage.problems import Changed, SourceProblem, Unreachable
from catalog.wording.formats import count_of, file_size
from collections_app.archive import BadEntry, FileEntry, TextEntry, write_archive
from collections_app.builds.checking import check_files, fail_for_entry
from collections_app.builds.deidentified import DeliveredFacts
from collections_app.builds.failure import BuildFailed, explain_os_error
from collections_app.builds.fetcher import DayIsFull
from collections_app.builds.fetching import (
    FetchFailed,
    fetch_files,
    folder_of_fetched,
    release_files,
)
from collections_app.builds.files import iter_files
from collections_app.builds.lease import (
    Claim,
    Heartbeat,
    LeaseLost,
    OnProgress,
    claim_build,
)
from collections_app.builds.outcome import (
    fail_build,
    finish_build,
    forget_problems,
    give_up_replaced,
    keep_number_of_problems,
)
from collections_app.builds.queue import notify_mailer, notify_verifier
from collections_app.builds.time_limit import note_time_limit
from collections_app.contents.tables import FilesReplaced, make_tables
from collections_app.contents.texts import make_texts
from collections_app.models import Build, Collection, Reason
from collections_app.provenance_keys import NUM_FILES
from collections_app.selection.database_space import (
    BYTES_PER_ITEM,
    METADATA_SIZE,
    DatabaseIsFull,
    require_room,
)
from collections_app.selection.fingerprint import compute_fingerprint, finalize_if_needed
from collections_app.selection.refusals import OverQuota
from collections_app.storage import (
    StorageTrouble,
    archive_name,
    archive_store,
    remove_archive,
)

logger = logging.getLogger(__name__)

# The most that an image adds to its file, beside what its source says of it: names, a row in two
# tables, records of the ZIP.
BYTES_PER_IMAGE = 1500
BYTES_OF_TEXTS = 1 << 20
# What sources say is compressed in the database, and not in tables.
UNCOMPRESSED = 2


def build_collection(*, collection_id: int, on_progress: OnProgress = lambda done: None) -> None:
    """Build a pending collection, unless another worker is building it.

    ``on_progress`` gets the number of bytes written so far, about once a second.
    """
    claim = claim_build(collection_id=collection_id)
    if claim is None:
        return
    with note_time_limit():
        try:
            build_or_fail(claim, on_progress=on_progress)
        finally:
            release_files(claim)


def build_or_fail(claim: Claim, *, on_progress: OnProgress = lambda done: None) -> None:
    """Build a claimed collection; what goes wrong fails the build, if it is still this worker's."""
    try:
        build_claimed(claim, on_progress=on_progress)
    except LeaseLost:
        logger.info("collection %s: this worker has lost its lease", claim.collection.uuid)
        # It may have changed them since whoever took the build counted.
        keep_number_of_problems(claim.collection)
    except BuildFailed as error:
        fail_claimed(claim, error)
    except OverQuota as error:
        fail_claimed(claim, BuildFailed(Reason.OVER_QUOTA, str(error)))
    except DatabaseIsFull:
        message = (
            "The server's database has no room for what this build writes. Try again later, or ask "
            "the operator for more space."
        )
        fail_claimed(claim, BuildFailed(Reason.DISK_FULL, message))
    except StorageTrouble as error:
        fail_claimed(claim, explain_os_error(error))
    except SoftTimeLimitExceeded:
        hours = settings.BUILD_SOFT_LIMIT / 3600
        message = (
            f"The build took longer than {hours:g} hours and was stopped. "
            "Build a smaller collection, or ask the operator to raise BUILD_SOFT_LIMIT."
        )
        fail_claimed(claim, BuildFailed(Reason.TOO_SLOW, message))


def build_claimed(claim: Claim, *, on_progress: OnProgress = lambda done: None) -> None:
    """Write the archive of a claimed collection and finish it.

    Raises:
        BuildFailed: the archive cannot be written.
        LeaseLost: the build is no longer this worker's; its files are deleted.
        DatabaseIsFull: what is learnt of its items would take the database's reserve.
        OverQuota: the archive is more than its owner may keep.
        SoftTimeLimitExceeded: it takes too long.
    """
    collection = claim.collection
    _clear_problems(claim)
    heartbeat = Heartbeat(claim, on_progress)
    _fetch(claim, heartbeat)
    # To read all items, as these and the tables do, takes tens of seconds where 200,000 have
    # hundreds of columns.
    heartbeat.touch()
    finalize_if_needed(collection)
    fingerprint = compute_fingerprint(collection)
    build = Build.objects.claimed_by(claim.token).first()
    if build is None:
        raise LeaseLost
    size_before = build.replaces.get("archive_size", 0)
    heartbeat.require_quota(max(collection.num_bytes, size_before))
    if build.keeps_archive:
        check_files(claim, heartbeat)
    expected_size = _estimate_size(collection)
    _check_space(claim, expected_size, freed=size_before if build.keeps_archive else 0)
    if build.keeps_archive:
        heartbeat.touch()
        _remove_replaced(claim)
    size = _write(claim, fingerprint, expected_size, heartbeat)
    path = archive_name(collection.uuid, claim.token)
    if not finish_build(
        collection=collection, token=claim.token, path=path, size=size, fingerprint=fingerprint
    ):
        remove_archive(path)
        raise LeaseLost
    notify_verifier(collection.pk)
    notify_mailer()


def _fetch(claim: Claim, heartbeat: Heartbeat) -> None:
    try:
        fetch_files(claim, heartbeat)
    except FetchFailed as error:
        what = count_of(error.number, "item")
        raise BuildFailed(
            _reason_of(error.kinds),
            f"{what} could not be fetched; the archive would not have been complete.",
        ) from error
    except DayIsFull as error:
        raise BuildFailed(Reason.DAY_IS_FULL, str(error)) from error
    except CacheFull as error:
        raise BuildFailed(
            Reason.DISK_FULL, f"Nothing more can be fetched: {error}. Try again later."
        ) from error
    except OSError as error:
        raise explain_os_error(error) from error


def _reason_of(kinds: set[type[SourceProblem]]) -> Reason:
    if Unreachable in kinds:
        return Reason.SOURCE_UNREACHABLE
    return Reason.FILES_CHANGED if Changed in kinds else Reason.FILES_MISSING


def _remove_replaced(claim: Claim) -> None:
    path = give_up_replaced(collection=claim.collection, token=claim.token)
    try:
        remove_archive(path)
    except OSError as error:
        logger.error("archive %s is left to the sweep: %s", path, error)


def _check_space(claim: Claim, needed: int, *, freed: int) -> None:
    """Fail early if the archive does not fit on the disk beside those being written now.

    ``freed`` are the bytes of the archive that is removed before.
    """
    free = archive_store().free_bytes(freed=freed)
    if free is None:
        return
    # Of two that begin together the second one gives way.
    mine = Build.objects.claimed_by(claim.token).values("started_at", "pk")[:1]
    is_earlier = Q(started_at__lt=mine.values("started_at")) | Q(
        started_at=mine.values("started_at"), pk__lt=mine.values("pk")
    )
    others = Build.objects.leased().filter(is_earlier)
    unwritten = Sum(Greatest(F("collection__num_bytes") - F("progress_bytes"), 0))
    reserved = others.aggregate(reserved=unwritten)["reserved"] or 0
    free = max(0, free - reserved)
    if needed > free:
        raise BuildFailed(
            Reason.DISK_FULL,
            f"The server's disk has no room for this archive: it needs about {file_size(needed)}, "
            f"and {file_size(free)} are free. Nothing is lost: try again when other archives have "
            "expired, build a smaller collection, or ask the operator for more space.",
        )


def _estimate_size(collection: Collection) -> int:
    """About how large the archive becomes; ``Heartbeat.beat`` looks where it becomes larger."""
    overhead = BYTES_OF_TEXTS + BYTES_PER_IMAGE * collection.num_images
    sums = collection.items.order_by().aggregate(metadata=METADATA_SIZE)
    return collection.num_bytes + overhead + UNCOMPRESSED * (sums["metadata"] or 0)


def _clear_problems(claim: Claim) -> None:
    """Forget the problems of the last build, except those of excluded items."""
    if number := claim.collection.items.included().with_problems().count():
        require_room(number * BYTES_PER_ITEM)
    if not forget_problems(collection=claim.collection, token=claim.token):
        raise LeaseLost


def _write(claim: Claim, fingerprint: str, expected_size: int, heartbeat: Heartbeat) -> int:
    """Write the archive and return its size in bytes."""
    collection = claim.collection
    texts = make_texts(collection, fingerprint)
    heartbeat.touch()
    tables = make_tables(collection, texts)
    heartbeat.touch()
    delivered = DeliveredFacts(collection)
    files = iter_files(
        collection,
        on_step=heartbeat.touch,
        on_made=delivered.add,
        fetched_in=folder_of_fetched(claim),
    )
    of_files = _EntriesOfFiles(files)
    try:
        with (
            archive_store().new_archive(
                collection.uuid,
                claim.token,
                fingerprint=fingerprint,
                size=expected_size,
                on_wait=heartbeat.touch,
            ) as file,
            closing(files),
        ):
            learn = partial(delivered.finish, heartbeat.touch)
            entries = chain(texts, of_files, _after(learn, tables))
            summary = write_archive(file, entries, on_progress=heartbeat.beat)
            _check_complete(collection, num_files=summary.num_entries - len(texts) - len(tables))
            heartbeat.beat(summary.num_entries, summary.size)
            heartbeat.touch(now=True)
            return summary.size
    except BadEntry as error:
        fail_for_entry(claim, (of_files.position, error), heartbeat)
    except FilesReplaced as error:
        check_files(claim, heartbeat)
        message = "The catalog was changed while the archive was written. Try again."
        raise BuildFailed(Reason.CATALOG_CHANGED, message) from error
    except ValueError as error:
        message = f"The archive could not be written: {error}. Tell the operator."
        raise BuildFailed(Reason.WRITE_ERROR, message) from error
    except OSError as error:
        # Who has ended the build, or has it now, may have removed what it has written.
        heartbeat.touch(now=True)
        raise explain_os_error(error) from error


class _EntriesOfFiles:
    """The entries without their positions; ``position`` is that of the last one."""

    def __init__(self, files: Iterable[tuple[str, FileEntry | TextEntry]]) -> None:
        self._files = files
        self.position = 0

    def __iter__(self) -> Iterator[FileEntry | TextEntry]:
        for position, entry in self._files:
            self.position = int(position)
            yield entry


def _after(finish: Callable[[], None], entries: Iterable[TextEntry]) -> Iterator[TextEntry]:
    """The tables, which tell what the files before them were."""
    finish()
    yield from entries


def _check_complete(collection: Collection, *, num_files: int) -> None:
    """Never finish an archive that lacks files, whatever the cause is."""
    expected = collection.provenance.get(NUM_FILES, collection.num_files)
    if num_files != expected:
        raise BuildFailed(
            Reason.CATALOG_CHANGED,
            f"The catalog has {num_files:,} files now, not {expected:,}. Tell the operator.",
        )


def fail_claimed(claim: Claim, error: BuildFailed) -> None:
    """Mark the claimed build as failed, if it is still this worker's."""
    failed = fail_build(
        collection=claim.collection,
        builds=Build.objects.claimed_by(claim.token),
        reason=error.reason,
        message=error.message,
    )
    outcome = f"failed: {error}" if failed else "failed after this worker had lost its lease"
    logger.warning("collection %s: %s", claim.collection.uuid, outcome)
    if failed:
        notify_mailer()
    else:
        keep_number_of_problems(claim.collection)
