"""Pages of images that collections hold: who sees them, and what they cost."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from catalog.models import Image
from collections_app.models import Collection, CollectionItem
from collections_app.tests.factories import UserFactory, make_collection, make_dataset

pytestmark = pytest.mark.django_db
NUM_COLLECTIONS = 400


@pytest.fixture
def held_by_many() -> Image:
    """An image that many collections of another user hold."""
    make_dataset(files=3)
    image = Image.objects.earliest("pk")
    other = UserFactory()
    made = Collection.objects.bulk_create(
        Collection(user=other, title=str(number), slug="x") for number in range(NUM_COLLECTIONS)
    )
    CollectionItem.objects.bulk_create(
        CollectionItem(collection=collection, image=image, position=1) for collection in made
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return image


def count_rows_read(client: Client, path: str, *, status: int = 200) -> int:
    """The rows that all steps of the request's queries over images read together."""
    with CaptureQueriesContext(connection) as queries:
        response = client.get(path)
        response.getvalue()
    assert response.status_code == status
    found = [query["sql"] for query in queries if 'FROM "catalog_image" ' in query["sql"]]
    assert found
    return sum(map(_count_rows_of, found))


def _count_rows_of(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql.replace("%", "%%"), [])
        ((plan,),) = cursor.fetchall()
    (top,) = json.loads(plan) if isinstance(plan, str) else plan
    return _sum_rows(top["Plan"])


def _sum_rows(node: dict[str, Any]) -> int:
    dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
    own = (node["Actual Rows"] + dropped) * node["Actual Loops"]
    return int(own) + sum(map(_sum_rows, node.get("Plans", [])))


# The file is no picture, so it has no preview.
@pytest.mark.parametrize(("door", "status"), [("", 200), ("preview/", 404), ("file/", 200)])
def test_a_page_of_an_image_reads_no_collections_of_others(
    client: Client, held_by_many: Image, door: str, status: int
) -> None:
    path = f"/images/{held_by_many.pk}/{door}"
    client.force_login(UserFactory())
    assert count_rows_read(client, path, status=status) < 50


def test_a_removed_image_is_looked_for_in_own_collections_only(
    client: Client, held_by_many: Image
) -> None:
    owner = UserFactory()
    make_collection("", user=owner)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    Image.objects.filter(pk=held_by_many.pk).update(removed_at=timezone.now(), profile=None)
    path = f"/images/{held_by_many.pk}/"
    client.force_login(owner)
    assert count_rows_read(client, path) < 50
    client.force_login(User.objects.create_user("stranger"))
    assert count_rows_read(client, path, status=404) < 50
    assert Client().get(path).status_code == 404
