"""Numbers of objects by their kinds: of a selection, beside it, and of each dataset."""

from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlencode

from django.http import QueryDict

from catalog.search.columns import Counted, Rows
from catalog.search.filter_choices import ANY_KIND, KIND_CODES
from catalog.search.filters import ImageFilterSet
from catalog.search.query_strings import canonical_params
from catalog.search.snapshot import Snapshot
from catalog.wording.object_counts import only_others
from vocab.models import Kind

_KINDS = {number: kind for kind, number in KIND_CODES.items()}


def count_kinds(counted: Counted) -> dict[str, int]:
    """The numbers of what is counted, in the order of the kinds and without zeros."""
    return _name(counted.sums("kind"))


def count_hidden(filters: ImageFilterSet) -> dict[str, int]:
    """The other objects that match as well, but are not shown, where only pictures are."""
    if filters.kinds != [Kind.PICTURE]:
        return {}
    return only_others(count_kinds(filters.count(without={"kind"})))


def count_kinds_by_dataset(snapshot: Snapshot, ids: Collection[int]) -> dict[int, dict[str, int]]:
    """``count_kinds`` of those of these datasets that list images, by their ids."""
    rows = Rows(snapshot.images).where(snapshot.images.columns["dataset"].any_of(ids))
    return by_dataset(rows.count())


def by_dataset(counted: Counted) -> dict[int, dict[str, int]]:
    """``count_kinds`` of the part of each dataset, by its id."""
    sums = counted.sums_by("dataset", "kind")
    return {dataset: _name(counts) for dataset, counts in sums.items()}


def pictures_of(snapshot: Snapshot) -> Rows:
    """The pictures and series: what is shown unless something else is asked for."""
    mask = snapshot.images.columns["kind"].any_of([KIND_CODES[Kind.PICTURE]])
    return Rows(snapshot.images).where(mask)


def query_of_kinds(kinds: Iterable[str]) -> str:
    """The query string that asks for these kinds."""
    return urlencode([("kind", str(kind)) for kind in kinds])


def with_any_kind(filters: ImageFilterSet) -> QueryDict:
    """The filters in force, but for objects of any kind."""
    params = canonical_params(filters)
    params["kind"] = ANY_KIND
    return params


def or_any_kind(filters: ImageFilterSet) -> ImageFilterSet:
    """These filters or, where no picture matches but other objects do, the same with any kind."""
    if filters.total or not filters.shows_pictures_only:
        return filters
    return filters.with_params(with_any_kind(filters))


def _name(sums: Mapping[int, int]) -> dict[str, int]:
    return {_KINDS[number]: sums[number] for number in sorted(sums)}
