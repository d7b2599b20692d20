"""Pages of the catalog: home, datasets, images, previews and files. All read-only."""

import contextlib
from typing import Any

from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import OuterRef, Subquery
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    QueryDict,
)
from django.shortcuts import get_object_or_404, render
from django.utils.cache import patch_vary_headers
from django.utils.http import content_disposition_header, http_date
from django.views.decorators.http import require_safe

from catalog.files import find_nginx_address, open_image
from catalog.imaging.paths import UnsafePath
from catalog.imaging.rendering import CONTENT_TYPE, CannotRender
from catalog.models import Availability, Dataset, Finding, Image, ImageProfile
from catalog.previews import PREVIEW_SIZES, cached_preview, find_cached_preview, preview_etag
from catalog.search.cards import Card
from catalog.search.columns import Rows
from catalog.search.dataset_paging import DATASET_SORTS, fetch_datasets, sort_datasets
from catalog.search.facets import (
    count_dataset_facets,
    count_image_facets,
    count_labels_within,
    count_terms,
    count_unreviewed_labels,
)
from catalog.search.filters import HERE, CatalogFilterSet, DatasetFilterSet, ImageFilterSet
from catalog.search.licenses import LicenseShare, count_licenses
from catalog.search.offers import list_unlisted, offer_datasets
from catalog.search.paging import Page, fetch_page, parse_cursor
from catalog.search.query_strings import (
    canonical_params,
    swap_value,
    toggle_value,
)
from catalog.search.snapshot import Snapshot, current_snapshot
from catalog.search.suggestions import suggest_changes
from catalog.search.understanding import (
    describe_query,
    is_understood,
    say_label_groups,
)
from catalog.transfers import RETRY_SECONDS, TooManyTransfers, Transfer
from vocab.models import Kind

DATASETS_PER_PAGE = 20
STRIP_IMAGES = 8
SAMPLE_IMAGES, SAMPLE_PIXELS, SAMPLED_PROFILES = 5, 200, 200
# Often test patterns.
OTHER_MODALITY = "ot"
NO_PREVIEW = (CannotRender, UnsafePath, OSError)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    snapshot = current_snapshot()
    images = Rows(snapshot.images).count()
    return render(
        request,
        "catalog/home.html",
        {
            "num_datasets": len(snapshot.datasets),
            "num_images": images.total,
            "num_local": images.sums("local").get(HERE, 0),
            "modalities": _count_by(snapshot, "modality"),
            "areas": _count_by(snapshot, "area"),
            "samples": _sample_images(),
        },
    )


def _sample_images() -> list[Image]:
    """A picture on this server of each of a few modalities.

    Only the first image of the largest profiles is looked at, so that the cost has a bound.
    """
    local = ImageProfile.objects.active().filter(
        availability=Availability.HERE, modality__is_active=True, modality__kind=Kind.PICTURE
    )
    first = Image.objects.filter(profile=OuterRef("pk")).order_by("pk").values("pk")[:1]
    largest = local.exclude(modality__code=OTHER_MODALITY).order_by("-num_images", "pk")
    ids = list(largest.values_list(Subquery(first), flat=True)[:SAMPLED_PROFILES])
    found = Image.objects.select_related("modality").in_bulk(ids)
    of_modality: dict[int | None, Image] = {}
    for pk in ids:
        image = found.get(pk)
        if image and min(image.width or 0, image.height or 0) >= SAMPLE_PIXELS:
            of_modality.setdefault(image.modality_id, image)
    return list(of_modality.values())[:SAMPLE_IMAGES]


def _count_by(snapshot: Snapshot, name: str) -> list[dict[str, Any]]:
    """Active terms in use with their numbers of images and datasets, the most used first."""
    terms = snapshot.vocabularies.terms[name].values()
    images = count_terms(terms, Rows(snapshot.images).count(), name)
    datasets = count_terms(terms, Rows(snapshot.datasets).count(), name)
    counted = [
        {
            "code": term.code,
            "name": term.name,
            "note": term.note,
            "num_images": images.get(term.id, 0),
            "num_datasets": datasets.get(term.id, 0),
        }
        for term in terms
        if term.id in images or term.id in datasets
    ]
    return sorted(counted, key=lambda c: (-c["num_datasets"], -c["num_images"], c["name"]))


@require_safe
def dataset_list(request: HttpRequest) -> HttpResponse:
    filters = DatasetFilterSet(request.GET)
    sorts = _dataset_sorts(filters)
    sort = request.GET.get("sort") or sorts[0]
    problems = list(filters.problems)
    if sort == "relevance" and sort not in sorts:
        # An order that needs a query, in a link whose query has been taken away.
        sort = sorts[0]
    if sort not in sorts:
        problems.append(f"Datasets cannot be sorted by “{sort[:40]}”. Choose an order below.")
    ids = [] if problems else sort_datasets(filters, sort)
    paginator = Paginator(ids, DATASETS_PER_PAGE)
    page = paginator.get_page(request.GET.get("page"))
    context = _list_context(filters, problems) | {
        "facets": [] if problems else count_dataset_facets(filters),
        "page": page,
        "rows": [
            (dataset, filters.missing_words(dataset.pk))
            for dataset in fetch_datasets(filters, list(page.object_list))
        ],
        "num_partial": 0 if problems else filters.num_partial,
        "total": paginator.count,
        "total_full": paginator.count - (0 if problems else filters.num_partial),
        "understood": describe_query(filters),
        "other_words": filters.parsed_query.search_text,
        "ignored_words": filters.ignored_words,
        "images_instead": 0 if problems or paginator.count else _count_images(filters),
        "sorts": [(code, DATASET_SORTS[code].title) for code in sorts],
        "sort": sort,
    }
    return _page_or_fragment(request, "dataset", context, bool(problems))


def _count_images(filters: DatasetFilterSet) -> int:
    """How many images the words find where no dataset does."""
    text = filters.cleaned.get("q")
    if not text:
        return 0
    params = QueryDict(mutable=True)
    params["q"] = text
    return ImageFilterSet(params, snapshot=filters.snapshot).total


def _dataset_sorts(filters: DatasetFilterSet) -> list[str]:
    has_rank = bool(filters.cleaned.get("q"))
    return [code for code in DATASET_SORTS if has_rank or code != "relevance"]


@require_safe
def dataset_detail(request: HttpRequest, slug: str) -> HttpResponse:
    dataset = get_object_or_404(Dataset.objects.active().with_terms(), slug=slug)
    filters = ImageFilterSet.of_dataset(dataset.slug)
    num_local = filters.counted.sums("local").get(HERE, 0)
    return render(
        request,
        "catalog/dataset_detail.html",
        {
            "dataset": dataset,
            "modalities": [term for term in dataset.modalities.all() if term.is_active],
            "task_types": [term for term in dataset.task_types.all() if term.is_active],
            "tags": [term for term in dataset.tags.all() if term.is_active],
            "num_here": filters.total,
            "licenses": _image_licenses(filters, dataset),
            "num_local": num_local,
            "labels": _label_distribution(filters),
            "num_unreviewed": count_unreviewed_labels(filters),
            "images": _fetch_strip(dataset, filters.snapshot) if num_local else [],
        },
    )


def _image_licenses(filters: ImageFilterSet, dataset: Dataset) -> list[LicenseShare]:
    """The licences of the images, unless all have that of the dataset."""
    shares = count_licenses(filters)
    return [] if [each.license for each in shares] in ([], [dataset.license]) else shares


def _fetch_strip(dataset: Dataset, snapshot: Snapshot) -> list[Card]:
    """Some images that are here: those that lie elsewhere have nothing to look at."""
    local = ImageFilterSet.of_dataset(dataset.slug, snapshot=snapshot, local="1")
    return fetch_page(local, None, size=STRIP_IMAGES).images


def _label_distribution(filters: ImageFilterSet) -> list[dict[str, Any]]:
    """Positive labels with their numbers of images and their share of the largest, in percent."""
    labels = count_labels_within(filters)
    most = max((label.count for label in labels), default=1)
    return [
        {
            "code": label.code,
            "name": label.name,
            "count": label.count,
            "percent": 100 * label.count / most,
        }
        for label in labels
    ]


@require_safe
def image_list(request: HttpRequest) -> HttpResponse:
    filters = ImageFilterSet(request.GET)
    problems = list(filters.problems)
    page = Page([])
    try:
        cursor = parse_cursor(request.GET.get("page", ""))
        if not problems:
            page = fetch_page(filters, cursor)
    except ValidationError as error:
        problems += error.messages
    context = _list_context(filters, problems) | {
        "facets": [] if problems else count_image_facets(filters),
        "page": page,
        "total": 0 if problems else filters.total,
        "understood": describe_query(filters),
        "id_words": [] if problems else filters.id_words,
        "text_words": [] if problems else filters.text_words,
        "excluded_words": [word.text for word in filters.parsed_query.words if word.is_excluded],
        "said_labels": say_label_groups(filters),
        "offers": [] if problems or filters.total else offer_datasets(filters),
        "unlisted": [] if problems or filters.total else list_unlisted(filters),
        "label_mode": filters.cleaned.get("label_mode") or "any",
    }
    return _page_or_fragment(request, "image", context, bool(problems))


def _list_context(filters: CatalogFilterSet, problems: list[str]) -> dict[str, Any]:
    """What every list shows: what is in force, how to undo it, and what was not understood."""
    params = canonical_params(filters)
    chips = [
        {
            "filter": item,
            "remove": toggle_value(params, item.name, item.value),
            "alone": item.alone and swap_value(params, item.name, item.value, item.alone),
        }
        for item in filters.active_filters()
        if not is_understood(filters, item.name, item.value)
    ]
    return {
        "is_filtered": bool(filters.as_json()),
        "problems": problems,
        "chips": chips,
        "params": params,
        "query_string": params.urlencode(),
        "query_text": filters.cleaned.get("q") or filters.data.get("q", ""),
        "suggestions": [] if problems or filters.total else suggest_changes(filters),
    }


def _page_or_fragment(
    request: HttpRequest, kind: str, context: dict[str, Any], is_bad: bool
) -> HttpResponse:
    """The whole page, or for htmx only the part that a filter changes."""
    htmx = getattr(request, "htmx", None)
    is_fragment = htmx and not htmx.boosted and not htmx.history_restore_request
    name = f"catalog/_{kind}_results.html" if is_fragment else f"catalog/{kind}_list.html"
    response = render(request, name, context, status=400 if is_bad else 200)
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_safe
def image_detail(request: HttpRequest, pk: int) -> HttpResponse:
    image = get_object_or_404(Image.objects.visible_to(request.user).with_terms(), pk=pk)
    labels = [given for given in image.image_labels.all() if given.label.is_active]
    rank = list(Finding)
    return render(
        request,
        "catalog/image_detail.html",
        {
            "image": image,
            "dataset": image.dataset,
            "image_labels": sorted(labels, key=lambda g: (rank.index(g.finding), g.label.name)),
            "num_unreviewed": len(image.image_labels.all()) - len(labels),
            "metadata": sorted(image.metadata_json.items()),
            "num_of_subject": _count_of_subject(image),
            "preview": find_cached_preview(image, PREVIEW_SIZES["large"]),
            "num_frames": _count_frames(image),
        },
    )


def _count_frames(image: Image) -> int:
    """The frames that a DICOM header states; 1 for other files."""
    frames = image.metadata_json.get("NumberOfFrames")
    return frames if isinstance(frames, int) else 1


def _count_of_subject(image: Image) -> int:
    if not image.subject_id:
        return 0
    same = Image.objects.filter(dataset=image.dataset_id, subject_id=image.subject_id)
    return same.filter(removed_at__isnull=True).count()


@require_safe
def image_preview(request: HttpRequest, pk: int) -> HttpResponse:
    """The image as a small WebP; ``?size=`` picks one of PREVIEW_SIZES."""
    image = get_object_or_404(
        Image.objects.visible_to(request.user).select_related("dataset"), pk=pk
    )
    size = PREVIEW_SIZES.get(request.GET.get("size", "small"), PREVIEW_SIZES["small"])
    if not image.is_local:
        return HttpResponse("This image has no file here.", status=404, content_type="text/plain")
    etag = preview_etag(image, size)
    if request.headers.get("If-None-Match") == etag:
        return HttpResponseNotModified()
    try:
        body = cached_preview(image, size).body
    except NO_PREVIEW as error:
        return HttpResponse(
            _explain_no_preview(error), status=404, content_type="text/plain; charset=utf-8"
        )
    response = HttpResponse(body, content_type=CONTENT_TYPE)
    response["ETag"] = etag
    response["Cache-Control"] = "private, max-age=86400"
    return response


@require_safe
def image_preview_notes(request: HttpRequest, pk: int) -> HttpResponse:
    """What to say of the large preview, or why there is none; a part of the image's page."""
    image = get_object_or_404(
        Image.objects.visible_to(request.user).select_related("dataset"), pk=pk
    )
    context: dict[str, Any] = {}
    try:
        context["notes"] = cached_preview(image, PREVIEW_SIZES["large"]).notes
    except NO_PREVIEW as error:
        context["reason"] = _explain_no_preview(error)
    return render(request, "catalog/_preview_notes.html", context)


def _explain_no_preview(error: Exception) -> str:
    reason = getattr(error, "reason", "the file cannot be read")
    return f"No preview: {reason.rstrip('.')}."


@require_safe
def image_file(request: HttpRequest, pk: int) -> HttpResponse | FileResponse:
    """The file itself, byte for byte."""
    image = get_object_or_404(
        Image.objects.visible_to(request.user).select_related("dataset"), pk=pk
    )
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_image(image))
            nginx_address = find_nginx_address(image, file)
        except (UnsafePath, OSError):
            return render(request, "catalog/image_file_gone.html", {"image": image}, status=404)
        if nginx_address:
            return HttpResponse(headers=_describe_file(image) | {"X-Accel-Redirect": nginx_address})
        try:
            transfer = Transfer(file)
        except TooManyTransfers:
            return _busy(request, image)
        stack.pop_all()
    headers = _describe_file(image) | {"Content-Length": str(transfer.length)}
    if image.mtime_ns:
        headers["Last-Modified"] = http_date(image.mtime_ns // 10**9)
    return FileResponse(transfer, headers=headers)


def _describe_file(image: Image) -> dict[str, str]:
    name = image.file_path.rsplit("/", 1)[-1]
    disposition = content_disposition_header(as_attachment=True, filename=name) or "attachment"
    return {
        # What a browser guesses from untrusted bytes must never run as a page.
        "Content-Type": "application/octet-stream",
        "Content-Disposition": disposition,
    }


def _busy(request: HttpRequest, image: Image) -> HttpResponse:
    response = render(request, "catalog/image_file_busy.html", {"image": image}, status=503)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response
