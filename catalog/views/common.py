"""What the lists of datasets and of images share."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from catalog.search.filters import CatalogFilterSet
from catalog.search.filters.fields import join_texts, read_query
from catalog.search.query import count_words, list_chunks
from catalog.search.query_strings import canonical_params, swap_value, toggle_value
from catalog.search.suggestions import suggest_changes
from catalog.search.understanding import (
    describe_excluded,
    describe_excluded_stems,
    is_understood,
)
from catalog.storage.web_threads import (
    FOR_PAGES,
    SHARE,
    FewAtATime,
    NoThreadLeft,
    hold_thread,
)

# Larger searches take turns: each word, and more so one with a digit, is asked of the database.
MANY_WORDS, MANY_NUMBERS, MANY_VALUES = 15, 5, 100
# Each takes up to a second of the database. A quarter of the share is left for previews and files.
_large_searches = FewAtATime(2, waiting=max(1, SHARE * 3 // 4 - 2), kept=max(1, SHARE // 8))
_mine = threading.local()
# Lists and searches together leave threads to all other pages, whatever they cost. A burst of short
# ones has ended by then.
_lists = threading.BoundedSemaphore(max(1, settings.WEB_THREADS - FOR_PAGES))
LIST_SECONDS = 0.5
# Each has links with all filters that are in force, so more would grow with the square of these.
MAX_CHIPS = 50


def bound_searches(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view whose searches hold up no other pages. It raises NoThreadLeft."""

    @wraps(view)
    def bounded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with bound_search(request, request.GET):
            return view(request, *args, **kwargs)

    return bounded


@contextmanager
def bound_search(request: HttpRequest, params: QueryDict, *, waits: bool = True) -> Iterator[None]:
    """A search that holds up no other pages. Raises NoThreadLeft, at once if it does not wait."""
    if not _lists.acquire(timeout=LIST_SECONDS if waits else 0):
        raise NoThreadLeft
    try:
        with take_turn(request, if_needed=_is_large(params), waits=waits):
            yield
    finally:
        _lists.release()


@contextmanager
def take_turn(
    request: HttpRequest, *, if_needed: bool = True, waits: bool = True
) -> Iterator[None]:
    """Be one of the few large searches of this process, if it is one. Raises NoThreadLeft."""
    if not if_needed or getattr(_mine, "has_turn", False):
        yield
        return
    with hold_thread(), _large_searches.turn(getattr(request, "client", ""), waits=waits):
        _mine.has_turn = True
        try:
            yield
        finally:
            _mine.has_turn = False


def _is_large(params: QueryDict) -> bool:
    text = read_query(join_texts(params.getlist("q")))
    num_values = sum(len(values) for _, values in params.lists())
    num_numbers = sum(any(map(str.isdigit, word)) for word in list_chunks(text))
    is_long = count_words(text) > MANY_WORDS or num_numbers > MANY_NUMBERS
    return is_long or num_values > MANY_VALUES


def list_context(filters: CatalogFilterSet, problems: list[str]) -> dict[str, Any]:
    """What every list shows: what is in force, how to undo it, and what was not understood."""
    params = canonical_params(filters)
    active = [f for f in filters.active_filters if not is_understood(filters, f.name, f.value)]
    chips = [
        {
            "filter": item,
            "remove": toggle_value(params, item.name, item.value),
            "alone": item.alone and swap_value(params, item.name, item.value, item.alone),
        }
        for item in active[:MAX_CHIPS]
    ]
    return {
        "filters": filters,
        "is_filtered": bool(filters.as_json()),
        "problems": problems,
        "doubts": [] if problems else filters.doubts,
        "broken_ors": [] if problems else filters.broken_ors,
        "chips": chips,
        "excluded_words": describe_excluded(filters),
        "excluded_stems": describe_excluded_stems(filters),
        "num_more_chips": len(active) - len(chips),
        "params": params,
        "query_string": params.urlencode(),
        "query_text": filters.cleaned.get("q") or filters.data.get("q", ""),
        "suggestions": [] if problems or filters.total else suggest_changes(filters),
    }


def page_or_fragment(
    request: HttpRequest, kind: str, context: dict[str, Any], is_bad: bool
) -> HttpResponse:
    """The whole page, or for htmx only the part that a filter changes."""
    htmx = getattr(request, "htmx", None)
    is_fragment = htmx and not htmx.boosted and not htmx.history_restore_request
    name = f"catalog/_{kind}_results.html" if is_fragment else f"catalog/{kind}_list.html"
    response = render(request, name, context, status=400 if is_bad else 200)
    patch_vary_headers(response, ["HX-Request"])
    return response
