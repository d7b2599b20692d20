"""Totals, facets, pages and datasets by a hierarchy, held against plain SQL, whatever it is."""

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.models import Image
from catalog.search.facets import count_dataset_facets, count_image_facets
from catalog.search.filters import DatasetFilterSet, ImageFilterSet
from catalog.tests.search import plain_hierarchy as plain
from catalog.tests.search.plain_order import order_plainly
from catalog.tests.search.test_counts_agree import page_through

pytestmark = [pytest.mark.django_db, pytest.mark.long]


@pytest.fixture
def catalog() -> None:
    plain.make_catalog()


def check_images(query: plain.Query) -> None:
    filters = ImageFilterSet(plain.as_params(query))
    if filters.problems:  # a hidden term
        assert not filters.images().exists()
        return
    expected = plain.ask_images(query)
    assert filters.total == len(expected)
    assert sorted(filters.images().values_list("pk", flat=True)) == sorted(expected)
    in_order = order_plainly(Image.objects.filter(pk__in=expected))
    assert list(page_through(filters, 7, backwards=False)) == in_order
    assert list(page_through(filters, 7, backwards=True)) == in_order[::-1]
    for facet in count_image_facets(filters):
        for value in facet.values if facet.name in plain.IMAGES else ():
            found = plain.ask_images(query | {facet.name: [value.code]})
            assert value.count == len(found), (facet.name, value)
            if value.alone:
                assert plain.ask_images(query | {facet.name: [value.alone]})


def check_datasets(query: plain.Query) -> None:
    filters = DatasetFilterSet(plain.as_params(query))
    if filters.problems:
        assert not filters.total
        return
    expected = plain.ask_datasets(query)
    assert filters.total == len(expected)
    assert filters.rows().ids().tolist() == expected
    for facet in count_dataset_facets(filters):
        for value in facet.values if facet.name in plain.DATASETS else ():
            found = plain.ask_datasets(query | {facet.name: [value.code]})
            assert value.count == len(found), (facet.name, value)


@given(
    areas=plain.trees(plain.AREAS),
    modalities=plain.trees(plain.MODALITIES),
    asked=st.lists(plain.image_queries, min_size=1, max_size=3),
    of_datasets=st.lists(plain.queries, min_size=1, max_size=3),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_the_hierarchy_filters_find_what_plain_sql_finds(
    catalog: None, areas: Any, modalities: Any, asked: list[Any], of_datasets: list[Any]
) -> None:
    with transaction.atomic():
        plain.plant_both(areas, modalities)
        for query in asked:
            check_images(query)
        for query in of_datasets:
            check_datasets(query)
        transaction.set_rollback(True)
