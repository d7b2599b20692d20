"""Looking at all files of a build: before an archive is given up, and where one file is bad."""

import heapq
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain, groupby
from operator import itemgetter
from typing import NoReturn

from django.conf import settings
from django.db.models import F

from collections_app.archive import BadEntry, BadKind
from collections_app.builds.deidentified import DeliveredFacts, OnMade, ignore_made
from collections_app.builds.failure import BuildFailed, explain_os_error
from collections_app.builds.fetching import folder_of_fetched
from collections_app.builds.files import find_bad_files
from collections_app.builds.lease import Claim, Heartbeat
from collections_app.builds.problems import describe_bad_files
from collections_app.models import MAX_PROBLEM, Collection, Reason
from collections_app.provenance_keys import NUM_FILES
from collections_app.selection.item_texts import set_item_texts


def check_files(claim: Claim, heartbeat: Heartbeat) -> None:
    """Fail while the present archive is still there if another one could not be complete.

    Raises DatabaseIsFull as the writing would, and SoftTimeLimitExceeded if that has no time left.
    """
    began = time.monotonic()
    delivered = DeliveredFacts(claim.collection, is_kept=False)
    found = _find_bad_files(claim, heartbeat, delivered.add)
    if first := next(found, None):
        _fail_for_files(claim.collection, chain([first], found))
    delivered.finish()
    # To write takes at least as long: each file is read, or de-identified, once more.
    seconds = time.monotonic() - began
    heartbeat.require_time(max(seconds, _seconds_of_last_writing(claim.collection)))


def _seconds_of_last_writing(collection: Collection) -> float:
    """How long the last archive took to be written; 0 if none was."""
    written = collection.builds.filter(reason="", finished_at__gt=F("writing_at"))
    took = F("finished_at") - F("writing_at")
    last: timedelta | None = written.values_list(took, flat=True).first()
    seconds = last.total_seconds() if last else 0.0
    # None takes longer: then the clock was set meanwhile.
    return seconds if seconds <= settings.BUILD_SOFT_LIMIT else 0.0


def _find_bad_files(
    claim: Claim, heartbeat: Heartbeat, on_made: OnMade = ignore_made
) -> Iterator[tuple[int, BadEntry]]:
    try:
        yield from find_bad_files(
            claim.collection,
            on_step=heartbeat.touch,
            on_made=on_made,
            fetched_in=folder_of_fetched(claim),
        )
    except OSError as error:
        # What is de-identified for the check lies on the disk meanwhile.
        raise explain_os_error(error) from error


def fail_for_entry(claim: Claim, first: tuple[int, BadEntry], heartbeat: Heartbeat) -> NoReturn:
    """One file is bad: check all files, so that the page names every bad one."""
    collection = claim.collection
    heartbeat.discard()
    # Who has ended the build, or has it now, may have removed what it had fetched.
    heartbeat.touch(now=True)
    bad = _find_bad_files(claim, heartbeat)
    # What was found in writing may be seen there only.
    others = (each for each in bad if each[1].name != first[1].name)
    _fail_for_files(collection, heapq.merge([first], others, key=itemgetter(0)))


def _fail_for_files(collection: Collection, found: Iterator[tuple[int, BadEntry]]) -> NoReturn:
    """Record the problem of every bad file, and fail."""
    kinds: set[BadKind] = set()
    has_series = NUM_FILES in collection.provenance

    def iter_problems() -> Iterator[tuple[int, str]]:
        for place, files in groupby(found, itemgetter(0)):
            first, *more = [bad for _, bad in files]
            kinds.update(bad.kind for bad in (first, *more))
            of_item = f"{first.name.rpartition('/')[2]}: " if has_series else ""
            others = f" (and {len(more):,} more of its files)" if more else ""
            yield place, f"{of_item}{first.reason}{others}"[:MAX_PROBLEM]

    set_item_texts(collection, "problem", iter_problems())
    number = collection.items.included().with_problems().count()
    raise BuildFailed(
        Reason.FILES_MISSING if kinds == {"missing"} else Reason.FILES_CHANGED,
        f"{describe_bad_files(number)}; the archive would not have been complete.",
    )
