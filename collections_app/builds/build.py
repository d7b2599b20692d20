"""Building an archive: claim the collection, write outside any transaction, finish by token.

A worker owns a pending collection as long as its lease, which it renews while it writes, has not
lapsed. Whoever finishes second finds its token gone and deletes only its own file.
"""

import logging
from contextlib import closing
from itertools import chain
from operator import itemgetter
from typing import NoReturn

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db.models import F, Sum

from catalog.formats import file_size
from collections_app.archive import BadEntry, write_archive
from collections_app.archive.sink import DISK_FULL
from collections_app.builds.files import find_bad_files, iter_files
from collections_app.builds.lease import Claim, Heartbeat, OnProgress, claim_collection
from collections_app.builds.problems import say_bad_files
from collections_app.builds.queue import announce_mails, announce_proof
from collections_app.builds.sharing import Archive, LeaseLost, failed_values, ready_values
from collections_app.contents.tables import make_tables
from collections_app.contents.texts import make_texts
from collections_app.models import MAX_PROBLEM, Collection
from collections_app.selection.fingerprint import compute_fingerprint, settle_if_needed
from collections_app.selection.item_texts import set_item_texts
from collections_app.storage import (
    archive_name,
    free_bytes,
    new_archive,
    partial_name,
    remove_archive,
)

logger = logging.getLogger(__name__)

# What an image adds beside its file, at most: names, a row in two tables, records of the ZIP.
BYTES_BESIDE_A_FILE = 1500
BYTES_OF_TEXTS = 1 << 20


class BuildFailed(Exception):
    """The archive cannot be written; the message is for the collection's page."""


def build_collection(*, collection_id: int, on_progress: OnProgress = lambda done: None) -> None:
    """Build a pending collection that nobody else is building; do nothing otherwise.

    ``on_progress`` is called with the bytes written so far, about once a second.
    """
    claim = claim_collection(collection_id=collection_id)
    if claim is None:
        return
    try:
        build_claimed(claim, on_progress=on_progress)
    except LeaseLost:
        logger.info("collection %s: taken over while it was built", claim.collection.uuid)
    except BuildFailed as error:
        fail_collection(claim=claim, reason=str(error))
    except SoftTimeLimitExceeded:
        hours = settings.BUILD_SOFT_LIMIT / 3600
        fail_collection(
            claim=claim,
            reason=f"The build took longer than {hours:g} hours and was stopped. "
            "Build a smaller collection, or ask the operator to raise BUILD_SOFT_LIMIT.",
        )


def build_claimed(claim: Claim, *, on_progress: OnProgress = lambda done: None) -> None:
    """Write the archive of a claimed collection and finish it.

    Raises:
        BuildFailed: it cannot be written; the reason is for the page.
        LeaseLost: the collection is no longer this worker's; nothing of it stays.
    """
    collection = claim.collection
    _forget_problems(collection)
    settle_if_needed(collection)
    fingerprint = compute_fingerprint(collection)
    _check_space(claim)
    path = archive_name(fingerprint, claim.token)
    size = _write(claim, fingerprint, path, Heartbeat(claim, on_progress))
    if not _finish(claim, path, size, fingerprint):
        remove_archive(path)
        raise LeaseLost


def _check_space(claim: Claim) -> None:
    """Better now than in the middle: what it takes must fit beside what others are writing."""
    collection = claim.collection
    others = Collection.objects.pending().leased().exclude(pk=collection.pk)
    left = others.aggregate(left=Sum(F("num_bytes") - F("progress_bytes")))["left"] or 0
    beside = BYTES_OF_TEXTS + BYTES_BESIDE_A_FILE * collection.num_images
    needed, free = collection.num_bytes + beside, max(0, free_bytes() - left)
    if needed > free:
        raise BuildFailed(
            f"The server has no room for this archive: it needs about {file_size(needed)}, and "
            f"{file_size(free)} are free. Nothing is lost: try again when archives of others have "
            "expired, build a smaller collection, or ask the operator for more room."
        )


def _forget_problems(collection: Collection) -> None:
    """What the last build found wrong may be right by now; what was left out stays left out."""
    collection.items.filter(is_left_out=False).with_problems().update(problem="")


def _write(claim: Claim, fingerprint: str, path: str, heartbeat: Heartbeat) -> int:
    """Write the archive to ``path`` and return its size in bytes."""
    collection = claim.collection
    partial_path = partial_name(collection.uuid, claim.token)
    texts = make_texts(collection, fingerprint)
    tables = make_tables(collection, texts)
    try:
        with (
            new_archive(partial_path, path, fingerprint=fingerprint) as file,
            closing(iter_files(collection, on_step=heartbeat.touch)) as files,
        ):
            entries = chain(texts, map(itemgetter(1), files), tables)
            summary = write_archive(file, entries, on_progress=heartbeat.beat)
            _check_complete(collection, num_files=summary.num_entries - len(texts) - len(tables))
            return summary.size
    except BadEntry as error:
        _fail_for_files(collection, error, heartbeat)
    except OSError as error:
        raise _explain_os_error(error) from error


def _check_complete(collection: Collection, *, num_files: int) -> None:
    """Never silently partial, whatever the reason might be."""
    if num_files != collection.num_files:
        raise BuildFailed(
            f"Only {num_files:,} of {collection.num_files:,} files are known to the catalog "
            "any more. Tell the operator."
        )


def _fail_for_files(collection: Collection, first: BadEntry, heartbeat: Heartbeat) -> NoReturn:
    """One file is bad: look at all of them, so that the page names every one."""
    name = first.name.removeprefix(f"{collection.slug}/")
    position = collection.items.values_list("position", flat=True).filter(file_name=name).first()
    if position is None:
        raise LeaseLost  # deleted meanwhile, with its items
    others = find_bad_files(collection, on_step=heartbeat.touch)
    bad = chain([(position, first.reason)], others)
    short = ((place, reason[:MAX_PROBLEM]) for place, reason in bad)
    set_item_texts(collection, "problem", short)
    number = collection.items.filter(is_left_out=False).with_problems().count()
    raise BuildFailed(f"{say_bad_files(number)}; the archive would not have been complete.")


def _explain_os_error(error: OSError) -> BuildFailed:
    if error.errno in DISK_FULL:
        return BuildFailed(
            "The server's disk is full. Nothing is lost: try again when there is room, "
            "or ask the operator."
        )
    logger.error("an archive could not be written", exc_info=error)
    return BuildFailed(f"The archive could not be written: {error.strerror or error}.")


def _finish(claim: Claim, path: str, size: int, fingerprint: str) -> bool:
    archive = Archive(path=path, size=size, fingerprint=fingerprint)
    if not Collection.objects.claimed_by(claim.token).update(**ready_values(archive)):
        return False
    announce_proof(claim.collection.pk)
    announce_mails()
    return True


def fail_collection(*, claim: Claim, reason: str) -> None:
    """Move the claimed collection to failed, with a reason for its page."""
    failed = Collection.objects.claimed_by(claim.token).update(**failed_values(reason))
    logger.warning(
        "collection %s: %s", claim.collection.uuid, f"failed: {reason}" if failed else "lost"
    )
    if failed:
        announce_mails()
