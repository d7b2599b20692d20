"""A curator moves the storage of a dataset's files."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from catalog.models import Availability, Dataset, Image
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.profiles.test_profiles import assert_profiles_are_true
from medagg.tests.test_admin import edit

pytestmark = pytest.mark.django_db
BEFORE, AFTER = "https://files.example.org/rays", "s3://rays-of-ours/published"


def addresses() -> list[str]:
    return list(Image.objects.order_by("source_id").values_list("remote_url", flat=True))


def test_the_addresses_move_with_the_storage(client: Client) -> None:
    dataset = DatasetFactory(storage=BEFORE)
    for number, url in enumerate((f"{BEFORE}/a%20b/1.png", "https://example.org/2.png")):
        ImageFactory(dataset=dataset, source_id=str(number), remote_url=url)
    make_searchable()
    client.force_login(User.objects.create_superuser("curator"))
    path = f"/admin/catalog/dataset/{dataset.pk}/change/"

    assert "This is no storage" in edit(client, path, storage="file:///etc").content.decode()
    assert edit(client, path, storage=f"{AFTER}/").status_code == 302

    assert Dataset.objects.get().storage == AFTER
    assert addresses() == [f"{AFTER}/a b/1.png", "https://example.org/2.png"]
    assert edit(client, path, storage="").status_code == 302
    assert addresses() == ["", "https://example.org/2.png"]
    assert Image.objects.get(source_id="0").availability == Availability.LISTED
    assert_profiles_are_true()
