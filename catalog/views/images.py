"""The list of images, and the page of one."""

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from catalog.models import Finding, Image
from catalog.previews.local import PREVIEW_SIZES, find_cached_preview
from catalog.search.facets import count_image_facets
from catalog.search.filters import ImageFilterSet
from catalog.search.kinds import count_hidden, count_kinds, with_any_kind
from catalog.search.offers import list_unlisted, offer_datasets
from catalog.search.paging import Page, fetch_page, parse_cursor
from catalog.search.understanding import describe_query, say_label_groups
from catalog.storage.addresses import find_fetch_commands, find_viewer, is_of_idc
from catalog.views.common import bound_searches, list_context, page_or_fragment, take_turn

# An image's page counts no more images of its subject; the most that is known are 2,756.
MAX_OF_SUBJECT = 5000


@require_safe
@bound_searches
def image_list(request: HttpRequest) -> HttpResponse:
    filters = ImageFilterSet(request.GET)
    with take_turn(request, if_needed=filters.reads_many_images):
        return _show_list(request, filters)


def _show_list(request: HttpRequest, filters: ImageFilterSet) -> HttpResponse:
    problems = list(filters.problems)
    page = Page([])
    try:
        cursor = parse_cursor(request.GET.get("page", ""))
        if not problems:
            page = fetch_page(filters, cursor)
    except ValidationError as error:
        problems += error.messages
    context = list_context(filters, problems) | {
        "facets": [] if problems else count_image_facets(filters),
        "page": page,
        "total": 0 if problems else filters.total,
        "kinds": {} if problems else count_kinds(filters.counted),
        "hidden": {} if problems else count_hidden(filters),
        "any_kind": with_any_kind(filters).urlencode(),
        "understood": describe_query(filters),
        "id_groups": [] if problems else _show_groups(filters, filters.words.of_ids),
        "text_groups": [] if problems else _show_groups(filters, filters.words.in_texts),
        "idle_words": [] if problems else filters.idle_words,
        "said_labels": say_label_groups(filters),
        "offers": [] if problems or filters.total else offer_datasets(filters),
        "unlisted": [] if problems or filters.total else list_unlisted(filters),
        "label_mode": filters.cleaned.get("label_mode") or "any",
    }
    return page_or_fragment(request, "image", context, bool(problems))


def _show_groups(filters: ImageFilterSet, groups: list[list[str]]) -> list[list[str]]:
    return [[filters.words.show(word) for word in group] for group in groups]


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
            "of_subject": _count_of_subject(image),
            "max_of_subject": MAX_OF_SUBJECT,
            "preview": find_cached_preview(image, PREVIEW_SIZES["large"]),
            "num_frames": _count_frames(image),
            "fetch_commands": find_fetch_commands(image.remote_url, series_uid=image.source_id),
            "of_release": image.dataset.idc_release if is_of_idc(image.remote_url) else "",
            "viewer": find_viewer(
                image.remote_url,
                study_uid=image.metadata_json.get("StudyInstanceUID"),
                series_uid=image.source_id,
            ),
        },
    )


def _count_frames(image: Image) -> int:
    """The frames that a DICOM header states; 1 for other files."""
    frames = image.metadata_json.get("NumberOfFrames")
    return frames if isinstance(frames, int) else 1


def _count_of_subject(image: Image) -> dict[str, int] | None:
    """The numbers of objects of the same subject by their kinds; empty if there are no others.

    None if there are more than MAX_OF_SUBJECT, as where all files are of one "ANONYMOUS".
    """
    if not image.subject_id:
        return {}
    same = Image.objects.filter(
        dataset=image.dataset_id, subject_id=image.subject_id, removed_at__isnull=True
    )
    some = same.order_by().values("pk")[: MAX_OF_SUBJECT + 1]
    counts = Image.objects.filter(pk__in=some).count_kinds()
    total = sum(counts.values())
    if total > MAX_OF_SUBJECT:
        return None
    return counts if total > 1 else {}
