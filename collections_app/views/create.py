"""Creating a collection: the summary of a selection, the form, and the basket."""

from contextlib import suppress
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from catalog.search.filters import ImageFilterSet
from catalog.search.kinds import with_any_kind
from catalog.search.query_strings import canonical_params
from catalog.storage.web_threads import NoThreadLeft, hold_thread
from catalog.views.common import bound_search, take_turn
from collections_app import services
from collections_app.forms import NewCollectionForm
from collections_app.notices.page import expect_notices
from collections_app.selection.basket import (
    MAX_AGE_SECONDS,
    BasketFull,
    clear_basket,
    cookie_name,
    make_cookie,
    update_basket,
)
from collections_app.selection.database_space import explain_room
from collections_app.selection.fetch_quota import explain_fetch_limits, most_to_fetch
from collections_app.selection.quotas import explain_quota_of_new
from collections_app.selection.refusals import OTHERS_ARE_FROZEN, Busy, NotBuildable, OverQuota
from collections_app.selection.summary import (
    SelectionSummary,
    describe_filters,
    suggest_title,
    summarize_selection,
)
from collections_app.selection.to_fetch import ToFetch

RETRY_AFTER_SECONDS = "30"


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def collection_new(request: HttpRequest) -> HttpResponse:
    """Show what will be frozen; a POST creates the collection."""
    if request.method == "POST":
        return _create(request)
    # A form that is refused is shown again whatever else runs: what was filled in would be lost.
    with bound_search(request, request.GET):
        return _show_selection(request, ImageFilterSet(request.GET), form=None)


def _show_selection(
    request: HttpRequest,
    filters: ImageFilterSet,
    *,
    form: NewCollectionForm | None,
    chosen: dict[str, Any] | None = None,
    refusal: str = "",
) -> HttpResponse:
    """The page; ``chosen`` are fields of a form that was refused, as the user filled them in.

    Raises NoThreadLeft.
    """
    # To read words of texts and to look for room take a second each, whoever asks.
    with take_turn(request):
        summary = None if filters.problems else summarize_selection(filters)
        over_quota = _explain_quota(request, filters, summary)
    query_string = canonical_params(filters).urlencode()
    total = summary.num_images if summary else 0
    initial = {"expected_images": total, "filters": query_string, "title": suggest_title(filters)}
    to_fetch = summary.to_fetch if summary else ToFetch()
    user = request.user if request.user.is_authenticated else None
    over_fetch = explain_fetch_limits(user, to_fetch)
    initial |= {"fetch": bool(to_fetch.num_images) and not over_fetch}
    initial = (chosen or {}) | initial | {"title": (chosen or initial)["title"]}
    if refusal and not over_quota:  # which the page explains beside the button
        messages.error(request, refusal)
    context = {
        "problems": filters.problems,
        "summary": summary,
        "over_quota": over_quota,
        "over_fetch": over_fetch,
        "fetch_limits": {
            "of_collection": most_to_fetch(),
            "of_day": settings.FETCH_MAX_DAY_BYTES,
        },
        "can_be_built": bool(summary and summary.can_be_built and not over_quota),
        "total": total,
        "words": describe_filters(filters),
        "query_string": query_string,
        "any_kind": with_any_kind(filters).urlencode(),
        "form": form
        or NewCollectionForm(
            initial=initial,
            email=_mail_address(request),
            can_fetch=bool(to_fetch.num_images),
        ),
        "here": f"{reverse('collection-new')}?{query_string}",
    }
    is_bad = bool(filters.problems or (form and form.errors))
    return render(request, "collections/new.html", context, status=400 if is_bad else 200)


def _explain_quota(
    request: HttpRequest, filters: ImageFilterSet, summary: SelectionSummary | None
) -> list[str]:
    """Why the quota does not allow this build; visitors have no quota before signing in."""
    if summary is None or not request.user.is_authenticated:
        return []
    if summary.over_limits or not summary.num_images:
        return []
    return explain_quota_of_new(
        request.user, num_images=summary.num_images, num_bytes=summary.num_bytes
    ) + explain_room(filters)


def _mail_address(request: HttpRequest) -> str:
    """The user's address; empty if the server cannot send mail."""
    user: Any = request.user
    return user.email if settings.EMAIL_IS_CONFIGURED and user.is_authenticated else ""


def _create(request: HttpRequest) -> HttpResponse:
    filters = ImageFilterSet(QueryDict(request.POST.get("filters", "")))
    form = NewCollectionForm(request.POST, email=_mail_address(request))
    if not request.user.is_authenticated:
        here = f"{reverse('collection-new')}?{canonical_params(filters).urlencode()}"
        return redirect_to_login(here)
    if not form.is_valid():
        return _show_selection(request, filters, form=form)
    expect_notices(request.session)
    try:
        with hold_thread():
            collection = services.create_collection(
                user=request.user,
                title=form.cleaned_data["title"],
                filters=filters,
                expected_images=form.cleaned_data["expected_images"],
                wants_mail=form.cleaned_data.get("wants_mail", False),
                fetch=form.cleaned_data.get("fetch", False),
            )
    except NoThreadLeft:
        return _explain_refusal(request, filters, form, Busy(OTHERS_ARE_FROZEN))
    except NotBuildable as error:
        return _explain_refusal(request, filters, form, error)
    response = redirect(collection)
    if filters.cleaned.get("image"):
        clear_basket(request)
        _keep_basket(request, response)
    return response


def _explain_refusal(
    request: HttpRequest,
    filters: ImageFilterSet,
    form: NewCollectionForm,
    error: NotBuildable,
) -> HttpResponse:
    """The selection again, with the reason; nothing that the user has filled in is lost."""
    # New filters count again, as the catalog may have changed since the form was sent.
    response = _show_selection(
        request,
        ImageFilterSet(filters.data),
        form=None,
        chosen=form.cleaned_data,
        refusal=str(error),
    )
    if isinstance(error, OverQuota):
        response.status_code = HTTPStatus.TOO_MANY_REQUESTS
    elif isinstance(error, Busy):
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        response["Retry-After"] = RETRY_AFTER_SECONDS
    return response


@require_POST
def basket(request: HttpRequest) -> HttpResponse:
    """Save the ticks of one page of images in the basket, or clear it; also for visitors."""
    status, page = 200, ""
    if "clear" in request.POST:
        clear_basket(request)
    else:
        try:
            update_basket(
                request,
                shown=_ids(request.POST.getlist("shown")),
                ticked=_ids(request.POST.getlist("image")),
            )
        except BasketFull as error:
            messages.error(request, str(error))
            status = 400
    if htmx := getattr(request, "htmx", None):
        with suppress(ValueError):  # An address of anybody, and perhaps none.
            page = htmx.current_url_abs_path or ""
        context = {"is_swap": True, "page": page}
        response = render(request, "collections/_tray.html", context, status=status)
    else:
        response = HttpResponseRedirect(_safe_next(request))
    _keep_basket(request, response)
    return response


def _keep_basket(request: HttpRequest, response: HttpResponse) -> None:
    if cookie := make_cookie(request):
        response.set_cookie(
            cookie_name(),
            cookie,
            max_age=MAX_AGE_SECONDS,
            httponly=True,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
    elif cookie_name() in request.COOKIES:
        response.delete_cookie(cookie_name(), samesite="Lax")


def _ids(values: list[str]) -> list[int]:
    return [
        int(value) for value in values if value.isascii() and value.isdigit() and len(value) < 19
    ]


def _safe_next(request: HttpRequest) -> str:
    target = request.POST.get("next", "")
    is_safe = url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()})
    return target if is_safe else reverse("image-list")
