"""That no licence is stated is an answer, and can be filtered."""

import pytest
from django.http import QueryDict
from django.test import Client

from catalog.models import Dataset
from catalog.search.facets import count_dataset_facets
from catalog.search.filters import DatasetFilterSet
from catalog.tests.factories import DatasetFactory, make_searchable
from vocab.tests.factories import LicenseFactory

pytestmark = pytest.mark.django_db


def test_datasets_whose_licence_is_not_stated_can_be_found(client: Client) -> None:
    DatasetFactory(slug="with", license=LicenseFactory(code="cc-by-4.0"))
    DatasetFactory(slug="without", license=None)
    unknown = LicenseFactory(code="unknown", name="Unknown licence")
    DatasetFactory(slug="looked-for", license=unknown)
    make_searchable()

    facets = count_dataset_facets(DatasetFilterSet(QueryDict()))

    facet = next(facet for facet in facets if facet.name == "license_stated")
    assert {value.name: value.count for value in facet.values} == {"yes": 1, "no": 2}
    found = DatasetFilterSet(QueryDict("license_stated=unknown")).rows().ids().tolist()
    slugs = Dataset.objects.filter(pk__in=found).values_list("slug", flat=True)
    assert set(slugs) == {"without", "looked-for"}
    page = client.get("/datasets/", {"license_stated": "maybe"})
    assert page.status_code == 400
