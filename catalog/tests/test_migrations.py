"""Data migrations, on rows of the last version."""

import importlib

import pytest
from django.core.management import call_command
from django.db import connection

from catalog.models import ImageProfile
from catalog.search.snapshot import read_stamp
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable

pytestmark = pytest.mark.django_db


def test_profiles_of_the_last_version_get_their_ages() -> None:
    dataset = DatasetFactory()
    for days in range(0, 900, 7):
        ImageFactory(dataset=dataset, age_years=round(days / 365.25, 4), size_bytes=days)
    for age in (None, None, 9.99, 64, 65, 65.5, 69, 129):
        ImageFactory(dataset=dataset, age_years=age)
    make_searchable()
    ImageProfile.objects.update(ages=[], age_images=[], age_bytes=[])
    before = read_stamp()
    with connection.cursor() as cursor:
        cursor.execute(importlib.import_module("catalog.migrations.0004_exact_ages").COUNT_AGES)
    call_command("check_catalog")
    assert read_stamp() != before
