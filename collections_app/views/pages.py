"""Pages: my collections, one collection, the status of its build, and its problems."""

import logging
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from catalog.models import Dataset
from catalog.search.filter_choices import ANY_KIND
from catalog.search.query_strings import params_from_frozen
from catalog.search.snapshot import current_snapshot
from catalog.storage.transfers import NoRoom, TooManyTransfers, spool_transfer
from catalog.storage.web_threads import NoThreadLeft
from catalog.views.common import bound_search, take_turn
from collections_app.builds.expiry import describe_expiry
from collections_app.builds.problems import (
    PROBLEMS_PER_PAGE,
    count_problems,
    fetch_problem_page,
    list_problems,
    write_problems,
)
from collections_app.builds.progress import describe_progress, refresh_seconds
from collections_app.contents.tables import count_availability
from collections_app.models import Collection, CollectionItem, Reason, Status
from collections_app.notices.page import expect_notices, mark_shown
from collections_app.provenance_keys import DATASETS, UNDERSTOOD, WORDS
from collections_app.selection.fingerprint import compute_fingerprint, describe_program
from collections_app.selection.quotas import describe_usage
from collections_app.selection.readings import (
    ChangedReading,
    find_changed_readings,
    search_of,
)
from collections_app.selection.summary import describe_kinds
from collections_app.views.common import get_collection
from collections_app.views.item_pages import paginate_items

logger = logging.getLogger(__name__)

COLLECTIONS_PER_PAGE = 20
NO_ROOM_FOR_LIST = (
    "The server's disk is full, so the list cannot be written as a file now. This page has it; try "
    "again later, or tell the operator."
)
TOO_MANY_LISTS = (
    "The server sends as many files as it can, so the list cannot be sent as a file now. This page "
    "has it; try again in half a minute."
)


@require_safe
@login_required
@never_cache
def collection_list(request: HttpRequest) -> HttpResponse:
    mine = Collection.objects.visible_to(request.user).with_reason().order_by("-created_at")
    page = Paginator(mine, COLLECTIONS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(collection, describe_expiry(collection)) for collection in page.object_list],
        "total": page.paginator.count,
        "usage": describe_usage(request.user),  # type: ignore[arg-type]
        # Not its present name, such as NZDT, which is another one for dates half a year from now.
        "time_zone": timezone.get_current_timezone_name(),
    }
    return render(request, "collections/list.html", context)


@require_safe
@login_required
@never_cache
def collection_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The collection and its images, by page."""
    collection = get_collection(request, uuid)
    if collection.status == Status.PENDING:
        # The page promises a notice, also in another session than the one that queued the build.
        # A reload does not write to the session again.
        expect_notices(request.session)
    mark_shown(request.session, collection)
    page = paginate_items(collection, request.GET.get("page"))
    context = _status_context(request, collection) | {
        "page": page,
        "active_slugs": _active_slugs(collection),
        "search_again": _search_again(collection),
        "changed_readings": _read_again(request, collection),
        "words": _describe_choice(collection),
    }
    return render(request, "collections/detail.html", context)


def _read_again(request: HttpRequest, collection: Collection) -> list[ChangedReading] | None:
    """The words that mean something else now; None while too many searches run."""
    if not collection.query_text or not collection.provenance.get(UNDERSTOOD):
        return []
    with suppress(NoThreadLeft), bound_search(request, search_of(collection), waits=False):
        return find_changed_readings(collection)
    return None


def _search_again(collection: Collection) -> str:
    """The query string that asks the present catalog for exactly the frozen filters.

    The words of the search are as typed, and mean what they mean at present.
    """
    vocabularies = current_snapshot().vocabularies
    return params_from_frozen(collection.filter_snapshot, vocabularies).urlencode()


def _describe_choice(collection: Collection) -> list[dict[str, str]]:
    """The frozen filters in words, with the kinds also where none were told apart yet."""
    words: list[dict[str, str]] = collection.provenance.get(WORDS, [])
    is_earlier = "kind" not in collection.filter_snapshot
    return [*words, describe_kinds([ANY_KIND])] if is_earlier else words


def _active_slugs(collection: Collection) -> set[str]:
    """Slugs of the collection's datasets that still have a page."""
    slugs = [dataset["slug"] for dataset in collection.provenance[DATASETS]]
    active = Dataset.objects.active().filter(slug__in=slugs)
    return set(active.values_list("slug", flat=True))


@require_safe
@login_required
@never_cache
def collection_status(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The part of the page that changes while the archive is built."""
    collection = get_collection(request, uuid)
    mark_shown(request.session, collection)
    return render(request, "collections/_status.html", _status_context(request, collection))


def _status_context(request: HttpRequest, collection: Collection) -> dict[str, Any]:
    has_failed = collection.status == Status.FAILED
    is_ready = collection.status == Status.READY
    build = collection.last_build if has_failed or is_ready else None
    reason = build.reason if build else ""
    num_problems = build.num_problems if build and (has_failed or reason) else 0
    bad: list[CollectionItem] = []
    if has_failed and num_problems:
        # While a long transaction is open, as in a backup, PostgreSQL reads problems that are gone.
        with suppress(NoThreadLeft), take_turn(request, waits=False):
            bad = list(list_problems(collection, is_excluded=False)[:PROBLEMS_PER_PAGE])
    return {
        "collection": collection,
        "progress": describe_progress(collection),
        "refresh_seconds": refresh_seconds(collection),
        "expiry": describe_expiry(collection),
        "is_cancelled": has_failed and reason == Reason.CANCELLED,
        "is_cancelled_by_operator": has_failed and reason == Reason.CANCELLED_BY_OPERATOR,
        # A ready collection whose last build has a reason is ready with the archive from before.
        "not_rebuilt": Reason(reason) if is_ready and reason else None,
        "problems": bad,
        "num_problems": num_problems,
        "num_excluded": collection.num_excluded,
        "rebuild_differs": _rebuild_differs(collection),
        "files": count_availability(collection),
    }


def _rebuild_differs(collection: Collection) -> bool:
    """Whether this version of the program would write another archive than the one it has had."""
    if collection.status not in (Status.READY, Status.EXPIRED):
        return False
    if collection.program:
        return collection.program != describe_program()
    # Of an archive from before versions were kept.
    return compute_fingerprint(collection) != collection.fingerprint


@require_safe
@login_required
@never_cache
def collection_problems(request: HttpRequest, uuid: UUID, *, is_excluded: bool) -> HttpResponse:
    """All items with a problem, or all excluded ones, by page."""
    collection = get_collection(request, uuid)
    cursor = request.GET.get("page", "")
    context = {
        "collection": collection,
        "page": fetch_problem_page(collection, is_excluded=is_excluded, cursor=cursor),
        "total": collection.num_excluded if is_excluded else count_problems(collection),
        "is_excluded": is_excluded,
    }
    return render(request, "collections/problems.html", context)


@require_safe
@login_required
@never_cache
def collection_problems_csv(
    request: HttpRequest, uuid: UUID, *, is_excluded: bool
) -> HttpResponseBase:
    """The same items as CSV, sent from a file as there may be a million."""
    collection = get_collection(request, uuid)
    try:
        transfer = spool_transfer(
            settings.ARCHIVE_ROOT, write_problems(collection, is_excluded=is_excluded)
        )
    except TooManyTransfers:
        return _say_on_list(request, TOO_MANY_LISTS, uuid, is_excluded=is_excluded)
    except NoRoom as error:
        logger.error("a list of problems could not be written: %s", error)
        return _say_on_list(request, NO_ROOM_FOR_LIST, uuid, is_excluded=is_excluded)
    return FileResponse(
        transfer,
        as_attachment=True,
        filename=f"{collection.slug}-{'missing' if is_excluded else 'problems'}.csv",
        content_type="text/csv; charset=utf-8",
        headers={"Content-Length": str(transfer.length)},
    )


def _say_on_list(
    request: HttpRequest, why: str, uuid: UUID, *, is_excluded: bool
) -> HttpResponseBase:
    messages.error(request, why)
    return redirect("collection-excluded" if is_excluded else "collection-problems", uuid)
