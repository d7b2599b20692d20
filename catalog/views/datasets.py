"""The list of datasets, and the page of one."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from catalog.models import Dataset, RelationKind
from catalog.search.availability import AvailabilityCounts, count_by_dataset
from catalog.search.cards import Card
from catalog.search.cross_table import count_areas_by_modalities
from catalog.search.dataset_paging import (
    DATASET_SORTS,
    choose_sort,
    fetch_datasets,
    list_sorts,
    sort_datasets,
)
from catalog.search.facets import (
    count_dataset_facets,
    count_labels_within,
    count_unreviewed_labels,
)
from catalog.search.filter_choices import ANY_KIND, TABLE
from catalog.search.filters import DatasetFilterSet, ImageFilterSet
from catalog.search.kinds import (
    count_kinds,
    count_kinds_by_dataset,
    or_any_kind,
    query_of_kinds,
)
from catalog.search.licenses import (
    LicenseShare,
    OtherLicenses,
    count_licenses,
    find_other_licenses,
)
from catalog.search.paging import fetch_page
from catalog.search.query_strings import canonical_params, with_values
from catalog.search.snapshot import Snapshot
from catalog.search.understanding import describe_query, describe_stems, describe_term_texts
from catalog.views.common import bound_searches, list_context, page_or_fragment, take_turn
from catalog.wording.object_counts import KindCounts, only_others
from vocab.models import Kind

DATASETS_PER_PAGE = 20
STRIP_IMAGES = 8


class Relation(NamedTuple):
    """What other datasets are to the one of the page, and who says so."""

    title: str
    source: str
    datasets: list[Dataset]


class DatasetRow(NamedTuple):
    """What the list shows of a dataset; ``missing`` are words of the query that it lacks."""

    dataset: Dataset
    terms: Sequence[str]
    missing: Sequence[str]
    kinds: KindCounts
    files: AvailabilityCounts
    other_licenses: OtherLicenses | None


@require_safe
@bound_searches
def dataset_list(request: HttpRequest) -> HttpResponse:
    filters = DatasetFilterSet(request.GET)
    sort, problem = choose_sort(filters)
    problems = [*filters.problems, *filter(None, [problem])]
    shows_table = TABLE in request.GET
    ids = [] if problems else sort_datasets(filters, sort)
    paginator = Paginator(ids, DATASETS_PER_PAGE)
    page = paginator.get_page(request.GET.get("page"))
    shown = list(page.object_list)
    files = count_by_dataset(filters.snapshot, shown)
    licenses = find_other_licenses(filters, shown)
    kinds = count_kinds_by_dataset(filters.snapshot, shown)
    images_instead = None if problems or paginator.count else _find_images(request, filters)
    context = list_context(filters, problems) | {
        "facets": [] if problems else count_dataset_facets(filters),
        "cross_table": None if problems or not shows_table else count_areas_by_modalities(filters),
        "table_query": with_values(canonical_params(filters), **{TABLE: "1"}),
        "page": page,
        "rows": [
            DatasetRow(
                dataset,
                filters.snapshot.shown_terms[dataset.pk],
                filters.missing_words(dataset.pk),
                kinds.get(dataset.pk, {}),
                files[dataset.pk],
                licenses.get(dataset.pk),
            )
            for dataset in fetch_datasets(filters, shown)
        ],
        "num_partial": 0 if problems else filters.num_partial,
        "total": paginator.count,
        "total_full": paginator.count - (0 if problems else filters.num_partial),
        "understood": describe_query(filters),
        "stems": [] if problems else describe_stems(filters),
        "term_texts": [] if problems else describe_term_texts(filters),
        "dataset_words": [
            [word.text for word in group] for group in filters.shown_query.word_groups
        ],
        "ignored_words": filters.ignored_words,
        "words_of_images": [] if problems else filters.words_of_images,
        "idle_words": [] if problems else filters.idle_words,
        "common_words": [] if problems else filters.results.common_words,
        "similar_words": [] if problems else filters.results.similar_words,
        "images_instead": images_instead and canonical_params(images_instead).urlencode(),
        "kinds_instead": count_kinds(images_instead.counted) if images_instead else {},
        "sorts": [(code, DATASET_SORTS[code].title) for code in list_sorts(filters)],
        "sort": sort,
    }
    return page_or_fragment(request, "dataset", context, bool(problems))


def _find_images(request: HttpRequest, filters: DatasetFilterSet) -> ImageFilterSet | None:
    """The images that the words find where no dataset does, or else the other objects."""
    text = filters.cleaned.get("q")
    if not text:
        return None
    params = QueryDict(mutable=True)
    params["q"] = text
    images = ImageFilterSet(params, snapshot=filters.snapshot)
    with take_turn(request, if_needed=images.reads_many_images):
        found = or_any_kind(images)
        return found if found.total else None


@require_safe
def dataset_detail(request: HttpRequest, slug: str) -> HttpResponse:
    dataset = get_object_or_404(Dataset.objects.active().with_terms().with_relations(), slug=slug)
    filters = ImageFilterSet.of_dataset(dataset.slug)
    kinds = count_kinds(filters.counted)
    others = only_others(kinds)
    pictures = {kind: n for kind, n in kinds.items() if kind not in others}
    files = AvailabilityCounts.of(filters.counted)
    return render(
        request,
        "catalog/dataset_detail.html",
        {
            "dataset": dataset,
            "modalities": [term for term in dataset.modalities.all() if term.is_active],
            "task_types": [term for term in dataset.task_types.all() if term.is_active],
            "areas": [
                area
                for area in (dataset.area, *dataset.other_areas.all())
                if area and area.is_active
            ],
            "findings": [term for term in dataset.labels.all() if term.is_active],
            "tags": [term for term in dataset.tags.all() if term.is_active],
            "relations": _list_relations(dataset),
            "link": getattr(dataset, "link_check", None),
            "num_objects": filters.total,
            "kinds": kinds,
            "pictures": pictures,
            "query_string": urlencode({"dataset": slug} | ({} if pictures else {"kind": ANY_KIND})),
            "others": others,
            "other_kinds": query_of_kinds(others),
            "licenses": _image_licenses(filters, dataset),
            "files": files,
            "labels": _label_distribution(filters),
            "num_unreviewed": count_unreviewed_labels(filters),
            "sharing": Dataset.objects.active()
            .with_files_of(slug, dataset.imported_json)
            .order_by("title"),
            "images": _fetch_strip(dataset, filters.snapshot) if files.here else [],
        },
    )


def _list_relations(dataset: Dataset) -> list[Relation]:
    """The dataset's own relations and those of others to it, without datasets that are hidden."""
    found: dict[tuple[str, str], list[Dataset]] = defaultdict(list)
    for each in dataset.relations.all():
        found[each.get_kind_display(), each.source].append(each.other)
    for each in dataset.inverse_relations.all():
        found[RelationKind(each.kind).inverse, each.source].append(each.dataset)
    active = {key: [one for one in many if one.is_active] for key, many in found.items()}
    return [Relation(*key, datasets) for key, datasets in active.items() if datasets]


def _image_licenses(filters: ImageFilterSet, dataset: Dataset) -> list[LicenseShare]:
    """The licences of the images, unless all have that of the dataset."""
    shares = count_licenses(filters)
    return [] if [each.license for each in shares] in ([], [dataset.license]) else shares


def _fetch_strip(dataset: Dataset, snapshot: Snapshot) -> list[Card]:
    """Some images that are here: those that lie elsewhere have nothing to look at."""
    local = ImageFilterSet.of_dataset(
        dataset.slug, snapshot=snapshot, local="1", kind=Kind.PICTURE.value
    )
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
