"""What a query string selects, for the tests of filters."""

from django.http import QueryDict

from catalog.search.filters import ImageFilterSet


def select(query: str) -> str:
    """Source ids of what a query string selects, and that the total agrees."""
    filters = ImageFilterSet(QueryDict(query))
    assert not filters.problems, filters.problems
    ids = sorted(filters.images().values_list("source_id", flat=True))
    assert filters.total == len(ids)
    return " ".join(ids)
