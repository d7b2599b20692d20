"""The summary of a selection, shown before it is frozen."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from catalog.models import Dataset
from catalog.search.availability import AvailabilityCounts
from catalog.search.facets import (
    FacetValue,
    count_labels_within,
    count_unreviewed_labels,
)
from catalog.search.filter_choices import KIND_CHOICES
from catalog.search.filters import ImageFilterSet
from catalog.search.kinds import by_dataset, count_hidden, count_kinds
from catalog.search.licenses import (
    LicenseShare,
    allow_commercial_use,
    count_licenses,
    count_licenses_by_dataset,
)
from catalog.search.understanding import describe_query
from catalog.wording.object_counts import KindCounts
from collections_app.selection import queries
from collections_app.selection.identifying_items import count_identifying
from collections_app.selection.limits import explain_limits
from collections_app.selection.to_fetch import ToFetch, count_to_fetch

KIND_NAMES = dict(KIND_CHOICES)


@dataclass(frozen=True, slots=True)
class DatasetShare:
    """A dataset's part of a selection."""

    dataset: Dataset
    num_images: int
    kinds: KindCounts
    licenses: list[LicenseShare]


@dataclass(frozen=True, slots=True)
class SelectionSummary:
    """What would be frozen: images by where their files are, bytes, datasets and labels.

    ``kinds`` are the numbers of images by kind, and ``hidden`` those of other objects that match as
    well and would not be frozen. ``num_bytes`` are those of the files that are here, ``to_fetch``
    is what lies elsewhere and may be fetched.
    ``num_same_bytes`` are images whose file is that of another one, ``num_same_in_datasets`` those
    of them whose copies are in several datasets, ``identifying`` the numbers of files that tell who
    somebody is; none of these is counted beyond the limits.
    """

    num_images: int
    kinds: KindCounts
    hidden: KindCounts
    files: AvailabilityCounts
    num_bytes: int
    to_fetch: ToFetch
    datasets: list[DatasetShare]
    licenses: list[LicenseShare]
    labels: list[FacetValue]
    num_unreviewed: int
    over_limits: list[str]
    num_same_bytes: int
    num_same_in_datasets: int
    identifying: dict[str, int]

    @property
    def allows_commercial_use(self) -> bool | None:
        """Whether all licences allow it; None if that is not known of all."""
        return allow_commercial_use([each.allows_commercial_use for each in self.licenses])

    @property
    def num_commercial(self) -> int:
        """Images whose licence allows commercial use."""
        return sum(each.num_images for each in self.licenses if each.allows_commercial_use)

    @property
    def can_be_built(self) -> bool:
        return self.num_images > 0 and not self.over_limits


def suggest_title(filters: ImageFilterSet) -> str:
    """A title for a collection of these images: the filters in words."""
    words = [item.text for item in filters.active_filters if item.name != "image"]
    if words:
        return ", ".join(words)[:100]
    return "Picked images" if filters.cleaned.get("image") else "All images"


def describe_filters(filters: ImageFilterSet) -> list[dict[str, str]]:
    """The filters in words; after the query, what its words were understood as.

    The kinds of objects are always among them, also where nobody chose any.
    """
    words = []
    for item in filters.active_filters:
        words.append({"filter": item.title, "value": str(item)})
        if item.name == "q":
            words += [
                {
                    "filter": f"{'or ' * (each.before == 'or')}{each.title} (“{each.words}”)",
                    "value": each.text,
                }
                for each in describe_query(filters)
            ]
    if not filters.problems and not filters.cleaned["kind"]:
        words.append(describe_kinds(filters.kinds))
    return words


def describe_kinds(kinds: Iterable[str]) -> dict[str, str]:
    """Kinds of objects as one of the filters in words."""
    chosen = ImageFilterSet.base_filters["kind"]
    return {"filter": str(chosen.label), "value": ", ".join(KIND_NAMES[kind] for kind in kinds)}


def summarize_selection(filters: ImageFilterSet) -> SelectionSummary:
    """Count the selected images by dataset and label, and compare them with the limits."""
    num_files, num_bytes = filters.count_files()
    kinds = by_dataset(filters.counted)
    licenses = count_licenses_by_dataset(filters)
    over_limits = explain_limits(num_images=filters.total, num_bytes=num_bytes)
    same = (0, 0) if over_limits or num_files < 2 else _count_same_bytes(filters)
    datasets = list(Dataset.objects.filter(pk__in=kinds))
    shares = [
        DatasetShare(each, sum(kinds[each.pk].values()), kinds[each.pk], licenses[each.pk])
        for each in datasets
    ]
    return SelectionSummary(
        num_images=filters.total,
        kinds=count_kinds(filters.counted),
        hidden=count_hidden(filters),
        files=AvailabilityCounts.of(filters.counted),
        num_bytes=num_bytes,
        to_fetch=ToFetch() if over_limits else count_to_fetch(filters),
        datasets=sorted(shares, key=lambda share: -share.num_images),
        licenses=count_licenses(filters),
        labels=count_labels_within(filters),
        num_unreviewed=count_unreviewed_labels(filters),
        over_limits=over_limits,
        num_same_bytes=same[0],
        num_same_in_datasets=same[1],
        identifying={} if over_limits else count_identifying(filters, datasets),
    )


def _count_same_bytes(filters: ImageFilterSet) -> tuple[int, int]:
    local = filters.images().local().order_by().values("sha256", "dataset_id")
    images, params = local.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(queries.SAME_BYTES.replace("{images}", images), params)
        return cursor.fetchone()
