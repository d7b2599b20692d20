"""Limits of one user and of the server: told before anything is written, and nothing is lost."""

import re
import threading
import time
from datetime import timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from catalog.models import Image
from catalog.search.filters import ImageFilterSet
from catalog.wording.formats import file_size
from collections_app import services
from collections_app.models import Collection, CollectionItem
from collections_app.selection import database_space, fingerprint, freeze
from collections_app.selection.database_space import BYTES_PER_ITEM
from collections_app.selection.queries import TRY_SLOT
from collections_app.selection.quotas import lock_quota
from collections_app.selection.refusals import NotBuildable, OverQuota
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from collections_app.tests.held import Held
from collections_app.tests.states import as_expired, change

pytestmark = pytest.mark.django_db

ROWS = "collections_app_collectionitem"


@pytest.fixture
def owner(client: Client) -> Any:
    user = UserFactory(username="owner")
    client.force_login(user)
    make_dataset(files=4)
    return user


def post(client: Client, *, expected: int = 2, status: int = 302, title: str = "My title") -> str:
    form = {"title": title, "expected_images": expected, "filters": "sex=F"}
    response = client.post("/collections/new/", form)
    assert response.status_code == status, response.content.decode()
    return re.sub(r"\s+", " ", response.content.decode())


def assert_kept(html: str) -> None:
    """What the user chose and wrote is still in the form."""
    assert 'name="filters" value="sex=F' in html
    assert 'value="My title"' in html


def expired(owner: Any, **values: Any) -> Collection:
    return change(as_expired(make_collection("", user=owner)), **values)


# --- Limits of one user ---
def test_the_number_of_collections_has_a_limit(
    client: Client, owner: Any, settings: LazySettings
) -> None:
    settings.COLLECTION_MAX_COUNT = 2
    for _ in range(2):
        expired(owner)
    expired(UserFactory())
    sentence = "You have 2 collections (limit: 2). Delete some that you do not need."
    assert sentence in client.get("/collections/new/").content.decode()
    html = post(client, status=429)
    assert html.count(sentence) == 1
    assert_kept(html)
    Collection.objects.filter(user=owner).first().delete()  # type: ignore[union-attr]
    post(client)


def test_the_sum_of_images_has_a_limit(client: Client, owner: Any, settings: LazySettings) -> None:
    settings.COLLECTION_MAX_ITEMS = 5
    # Of its four images a build was told to leave out three, which stay listed.
    expired(owner)
    Collection.objects.update(num_images=1, provenance={"excluded": 3})
    html = post(client, status=429)
    assert "Your collections list 4 images, and this one adds 2 (limit: 5)." in html
    settings.COLLECTION_MAX_ITEMS = 6
    post(client)


def test_limits_of_new_collections_do_not_stop_a_rebuild(
    owner: Any, settings: LazySettings
) -> None:
    collection = expired(owner)
    settings.COLLECTION_MAX_COUNT = settings.COLLECTION_MAX_ITEMS = 1
    settings.COLLECTION_MAX_PER_HOUR = 1
    services.rebuild_collection(collection=collection)
    assert Collection.objects.get().status == "pending"


def test_too_many_in_an_hour_are_told_when_the_next_is_possible(
    client: Client, owner: Any, settings: LazySettings
) -> None:
    settings.TIME_ZONE, settings.COLLECTION_MAX_PER_HOUR = "Pacific/Auckland", 2
    now = timezone.now()
    expired(owner, created_at=now - timedelta(minutes=61))
    expired(owner, created_at=now - timedelta(minutes=48))
    assert "within an hour" not in client.get("/collections/new/").content.decode()
    expired(owner, created_at=now - timedelta(minutes=1))
    html = post(client, status=429)
    again = timezone.localtime(now + timedelta(minutes=12))
    assert "You have made 2 collections within an hour (limit: 2)." in html
    assert f"The next one is possible at {again:%H:%M} NZ" in html
    assert "in 12 minutes." in html
    assert_kept(html)


# --- A second request of the same user, and the freezes of others ---
def take_slots(*numbers: int) -> None:
    with connection.cursor() as cursor:
        for number in numbers:
            cursor.execute(TRY_SLOT, [number])
            assert cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_a_second_request_of_a_user_does_not_wait_but_is_told_to(
    client: Client, owner: Any
) -> None:
    collection = expired(owner)
    start = time.monotonic()
    with Held(lambda: lock_quota(owner)):
        html = post(client, status=503)
        rebuilt = client.post(f"/collections/{collection.uuid}/rebuild/", follow=True)
    assert time.monotonic() - start < 5
    for text in (html, rebuilt.content.decode()):
        assert "Another request of yours is still being worked on. Nothing is lost" in text
    assert_kept(html)
    assert Collection.objects.get().status == "expired"
    post(client)


@pytest.mark.django_db(transaction=True)
def test_two_freezes_run_at_a_time_and_a_third_is_told_to_come_back(
    client: Client, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freeze, "_WAIT_SECONDS", 0.3)
    with Held(lambda: take_slots(0, 1)):
        html = post(client, status=503)
    assert "The server is freezing the selections of others at the moment." in html
    assert_kept(html)
    assert not Collection.objects.exists()
    with Held(lambda: take_slots(0)):
        post(client)
    with Held(lambda: take_slots(1)):
        post(client)


@pytest.mark.django_db(transaction=True)
def test_a_freeze_takes_a_slot_that_becomes_free_in_time(client: Client, owner: Any) -> None:
    held = Held(lambda: take_slots(0, 1))
    with held:
        threading.Timer(0.4, held._may_end.set).start()
        post(client)


@pytest.mark.django_db(transaction=True)
def test_a_freeze_has_a_slot_until_it_ends(owner: Any) -> None:
    with Held(lambda: make_collection("")), Held(lambda: make_collection("sex=F")):
        with pytest.raises(AssertionError):
            take_slots(0)
        with pytest.raises(AssertionError):
            take_slots(1)


# --- What is refused leaves nothing behind ---
def size_of_rows() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s)", [ROWS])
        size: int = cursor.fetchone()[0]
    return size


@pytest.fixture
def researcher(client: Client) -> Any:
    user = UserFactory(username="researcher")
    client.force_login(user)
    make_dataset(files=1, remote=40)
    return user


def test_refused_requests_grow_no_table(
    client: Client, researcher: Any, settings: LazySettings
) -> None:
    settings.COLLECTION_MAX_KEPT_BYTES = 1
    before = size_of_rows()
    form = {"title": "x", "expected_images": 41, "filters": ""}
    for _ in range(25):
        assert client.post("/collections/new/", form).status_code == 429
    assert size_of_rows() == before


@pytest.mark.parametrize(
    "limit",
    ["COLLECTION_MAX_PENDING", "COLLECTION_MAX_BYTES", "COLLECTION_MAX_COUNT", "",
     "COLLECTION_MAX_ITEMS", "COLLECTION_MAX_PER_HOUR", "DATABASE_MAX_BYTES"],
)  # fmt: skip
def test_every_refusal_comes_before_the_first_row(
    owner: Any, settings: LazySettings, limit: str
) -> None:
    if limit:
        setattr(settings, limit, 1 if limit.endswith("BYTES") else 0)
    before = last_id()
    filters = ImageFilterSet(QueryDict(""))
    with pytest.raises(NotBuildable):
        services.create_collection(
            user=owner, title="x", filters=filters, expected_images=4 if limit else 5
        )
    assert last_id() == before, "not even the collection was inserted"


def last_id() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM collections_app_collection_id_seq")
        last: int = cursor.fetchone()[0]
    return last


# --- The disk of the database ---
def test_a_collection_without_room_in_the_database_is_refused(
    client: Client, owner: Any, settings: LazySettings, tmp_path: Path
) -> None:
    settings.DATABASE_FOLDER, settings.DATABASE_RESERVE_BYTES = tmp_path, 1 << 60
    assert "database has no room" in client.get("/collections/new/").content.decode()
    html = post(client, status=503)
    assert f"it needs about {file_size(2 * BYTES_PER_ITEM)}, and {file_size(0)} are free" in html
    assert "Choose fewer images, or ask the operator" in html
    assert_kept(html)
    settings.DATABASE_RESERVE_BYTES = 0
    post(client)


def test_the_operator_may_say_how_large_the_database_may_become(
    client: Client, owner: Any, settings: LazySettings
) -> None:
    size = size_of_database()
    settings.DATABASE_MAX_BYTES = size + BYTES_PER_ITEM
    assert "database has no room" in post(client, status=503)
    settings.DATABASE_MAX_BYTES = size + 1_000_000_000
    post(client)


def tell_much() -> None:
    """100 kB of each image, which cannot be compressed."""
    random = Random(0)
    source = {f"feature_{n:03}": str(random.getrandbits(3200)) for n in range(100)}
    Image.objects.update(metadata_json=source)


def size_of_database() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        size: int = cursor.fetchone()[0]
    return size


def test_what_sources_say_of_images_counts_for_the_room_they_need(
    client: Client, owner: Any, settings: LazySettings
) -> None:
    tell_much()
    settings.DATABASE_MAX_BYTES = size_of_database() + 300_000
    assert "database has no room" in client.get("/collections/new/?sex=F").content.decode()
    assert "database has no room" in post(client, status=503)
    settings.DATABASE_MAX_BYTES += 1_000_000
    post(client)


def test_a_freeze_that_takes_more_than_was_thought_leaves_no_row(
    client: Client, owner: Any, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_much()
    monkeypatch.setattr(database_space, "GROWTH", 0)
    settings.DATABASE_MAX_BYTES = size_of_database() + 50_000
    html = post(client, status=503)
    assert "database has no room" in html
    assert_kept(html)
    assert not Collection.objects.exists()


def test_a_freeze_ends_as_soon_as_the_reserve_is_touched(
    client: Client,
    owner: Any,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Others write meanwhile."""
    settings.DATABASE_FOLDER, settings.DATABASE_RESERVE_BYTES = tmp_path, 0
    monkeypatch.setattr(fingerprint, "BYTES_AT_ONCE", 1)
    free = iter([1 << 40, 1, -1])
    monkeypatch.setattr(
        "catalog.bulk.database_space.shutil.disk_usage",
        lambda folder: SimpleNamespace(free=next(free, 1 << 40)),
    )
    assert "database is full. Nothing is lost" in post(client, status=503)
    assert not Collection.objects.exists()
    assert not CollectionItem.objects.exists()
    post(client)


def test_a_disk_that_is_full_in_the_middle_of_a_freeze_gives_a_page(
    client: Client, owner: Any
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"""
            CREATE FUNCTION pg_temp.fill() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
            CREATE TRIGGER full_disk BEFORE INSERT ON {ROWS} FOR EACH ROW EXECUTE
                FUNCTION pg_temp.fill();
            ALTER TABLE {ROWS} ENABLE ALWAYS TRIGGER full_disk""")
    html = post(client, status=503)
    assert "The disk of the server&#x27;s database is full. Nothing is lost" in html
    assert_kept(html)
    assert not Collection.objects.exists()
    assert not CollectionItem.objects.exists()


def test_a_refused_form_keeps_the_wish_for_a_mail(owner: Any, settings: LazySettings) -> None:
    settings.EMAIL_IS_CONFIGURED, settings.COLLECTION_MAX_PENDING = True, 0
    owner.email = "owner@example.org"
    owner.save()
    client = Client()
    client.force_login(owner)
    form = {"title": "x", "expected_images": 2, "filters": "sex=F", "wants_mail": "on"}
    html = client.post("/collections/new/", form).content.decode()
    assert re.search(r'<input[^>]*name="wants_mail"[^>]* checked', html)


def test_a_command_is_refused_in_the_same_way(owner: Any, settings: LazySettings) -> None:
    settings.COLLECTION_MAX_COUNT = 0
    filters = ImageFilterSet(QueryDict(""))
    with pytest.raises(OverQuota, match="limit: 0"):
        services.create_collection(user=owner, title="x", filters=filters, expected_images=4)


@pytest.mark.parametrize("name", ["label", "modality", "license", "dataset"])
def test_a_filter_has_at_most_300_characters(client: Client, name: str) -> None:
    marks = "a" + "\u0323\u0300" * 150
    page = client.post("/collections/new/", {"title": "Marks", "filters": f"{name}={marks}"})
    assert page.status_code == 302, "first one signs in"
    page = client.get(f"/images/?{name}={marks}")
    assert "A value has more than 300 characters" in page.content.decode()
