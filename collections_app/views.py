"""Pages of collections. Every one asks ``visible_to``: another user's URL is a 404."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from catalog.facets import canonical_params, snapshot_params
from catalog.filters import ImageFilterSet
from catalog.models import Dataset
from collections_app import services
from collections_app.forms import NewCollectionForm
from collections_app.models import Collection, Status
from collections_app.picked import TooManyPicked, clear_picked, update_picked
from collections_app.progress import describe_progress
from collections_app.selection import summarize_selection

COLLECTIONS_PER_PAGE = 20
ITEMS_PER_PAGE = 48
PROBLEMS_SHOWN = 100


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def collection_new(request: HttpRequest) -> HttpResponse:
    """What will be frozen, before the button; a POST freezes it."""
    if request.method == "POST":
        return _create(request)
    filters = ImageFilterSet(request.GET)
    return _show_selection(request, filters, form=None)


def _show_selection(
    request: HttpRequest, filters: ImageFilterSet, *, form: NewCollectionForm | None
) -> HttpResponse:
    summary = None if filters.problems else summarize_selection(filters)
    query_string = canonical_params(filters).urlencode()
    total = summary.num_images if summary else 0
    initial = {"expected_images": total, "filters": query_string, "title": _suggest_title(filters)}
    here = f"{reverse('collection-new')}?{query_string}"
    context = {
        "problems": filters.problems,
        "summary": summary,
        "total": total,
        "active_filters": list(filters.active_filters()),
        "query_string": query_string,
        "form": form or NewCollectionForm(initial=initial),
        "here": here,
    }
    is_bad = bool(filters.problems or (form and form.errors))
    return render(request, "collections/new.html", context, status=400 if is_bad else 200)


def _suggest_title(filters: ImageFilterSet) -> str:
    words = [item.text for item in filters.active_filters() if item.name != "image"]
    if words:
        return ", ".join(words)[:100]
    return "Picked images" if filters.cleaned.get("image") else "All images"


def _create(request: HttpRequest) -> HttpResponse:
    filters = ImageFilterSet(QueryDict(request.POST.get("filters", "")))
    form = NewCollectionForm(request.POST)
    if not request.user.is_authenticated:
        here = f"{reverse('collection-new')}?{canonical_params(filters).urlencode()}"
        return redirect_to_login(here)
    if not form.is_valid():
        return _show_selection(request, filters, form=form)
    try:
        collection = services.create_collection(
            user=request.user,
            title=form.cleaned_data["title"],
            filters=filters,
            expected_images=form.cleaned_data["expected_images"],
        )
    except services.NotBuildable as error:
        messages.error(request, str(error))
        # Counted anew: what the catalog was when the form was sent may be why it was refused.
        return _show_selection(request, ImageFilterSet(filters.data), form=None)
    if filters.cleaned.get("image"):
        clear_picked(request.session)
    return redirect(collection)


@require_safe
@login_required
def collection_list(request: HttpRequest) -> HttpResponse:
    mine = Collection.objects.visible_to(request.user).order_by("-created_at")
    page = Paginator(mine, COLLECTIONS_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "collections/list.html", {"page": page, "total": page.paginator.count})


@require_safe
@login_required
@never_cache
def collection_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    collection = _get(request, uuid)
    items = collection.items.select_related("image__dataset", "image__modality").order_by(
        "position"
    )
    paginator = Paginator(items, ITEMS_PER_PAGE)
    paginator.count = collection.num_images + collection.num_left_out
    return render(
        request,
        "collections/detail.html",
        _status_context(collection)
        | {
            "page": paginator.get_page(request.GET.get("page")),
            "active_slugs": _active_slugs(collection),
            "search_again": snapshot_params(collection.filter_snapshot).urlencode(),
        },
    )


def _active_slugs(collection: Collection) -> set[str]:
    """The collection's datasets that still have a page."""
    slugs = [dataset["slug"] for dataset in collection.provenance["datasets"]]
    active = Dataset.objects.active().filter(slug__in=slugs)
    return set(active.values_list("slug", flat=True))


@require_safe
@login_required
@never_cache
def collection_status(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The part of the page that changes while the archive is built."""
    return render(request, "collections/_status.html", _status_context(_get(request, uuid)))


def _status_context(collection: Collection) -> dict[str, Any]:
    problems = collection.items.with_problems().order_by("position")
    bad = problems.filter(is_left_out=False)
    return {
        "collection": collection,
        "progress": describe_progress(collection),
        "refresh_seconds": _refresh_seconds(collection),
        "problems": bad[:PROBLEMS_SHOWN],
        "num_problems": bad.count() if collection.status == "failed" else 0,
        "num_left_out": collection.num_left_out,
    }


def _refresh_seconds(collection: Collection) -> int:
    """How often the page asks for news; 0 where none is to come."""
    if collection.status == Status.PENDING:
        return 1
    return 3 if collection.status == Status.READY and not collection.archive_sha256 else 0


def _get(request: HttpRequest, uuid: UUID) -> Collection:
    return get_object_or_404(Collection.objects.visible_to(request.user), uuid=uuid)


def _act(
    request: HttpRequest, uuid: UUID, action: Callable[..., Any], done: str
) -> HttpResponseRedirect:
    collection = _get(request, uuid)
    try:
        action(collection=collection)
        messages.success(request, done)
    except (services.NotPossibleNow, services.NotBuildable) as error:
        messages.error(request, str(error))
    return redirect(collection)


@require_POST
@login_required
def collection_retry(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _act(request, uuid, services.retry_collection, "The archive is being built again.")


@require_POST
@login_required
def collection_rebuild(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _act(request, uuid, services.rebuild_collection, "The archive is being built again.")


@require_POST
@login_required
def collection_build_without(request: HttpRequest, uuid: UUID) -> HttpResponse:
    done = "The archive is being built without these files; missing.csv will list them."
    return _act(request, uuid, services.build_without_problems, done)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def collection_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    collection = _get(request, uuid)
    if request.method != "POST":
        return render(request, "collections/delete.html", {"collection": collection})
    services.delete_collection(collection=collection)
    messages.success(request, f"“{collection.title}” is deleted.")
    return redirect("collection-list")


@require_POST
def picked(request: HttpRequest) -> HttpResponse:
    """Keep the ticks of one page of the grid, or clear all; works for visitors too."""
    status = 200
    if "clear" in request.POST:
        clear_picked(request.session)
    else:
        try:
            update_picked(
                request.session,
                shown=_ids(request.POST.getlist("shown")),
                ticked=_ids(request.POST.getlist("image")),
            )
        except TooManyPicked as error:
            messages.error(request, str(error))
            status = 400
    if getattr(request, "htmx", False):
        return render(request, "collections/_tray.html", {"is_swap": True}, status=status)
    return HttpResponseRedirect(_safe_next(request))


def _ids(values: list[str]) -> list[int]:
    return [
        int(value) for value in values if value.isascii() and value.isdigit() and len(value) < 19
    ]


def _safe_next(request: HttpRequest) -> str:
    target = request.POST.get("next", "")
    is_safe = url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()})
    return target if is_safe else reverse("image-list")
