"""Where files are and what limits allow: before the button, on the button, and after it."""

import re
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from collections_app.models import Collection
from collections_app.selection import fingerprint
from collections_app.selection.refusals import Busy
from collections_app.services import build_without_problems
from collections_app.tests.factories import (
    UserFactory,
    build,
    image_file,
    make_collection,
    make_dataset,
    make_ready,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


def get(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, response.content[:2000]
    return response.content.decode()


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def add_listed() -> None:
    ImageFactory(dataset=DatasetFactory(slug="listed"), source_id="listed")
    make_searchable()


def test_the_three_numbers_stand_before_the_button(client: Client) -> None:
    make_dataset(files=3, remote=2)
    add_listed()
    page = get(client, "/collections/new/")
    numbers = re.findall(r'data-availability="([a-z]+)">(\d+)<', page)
    assert numbers == [("here", "3"), ("elsewhere", "2"), ("listed", "1")]
    assert "2 lie elsewhere" in text_of(page)
    assert "1 is listed only" in text_of(page)
    assert page.index("unavailable.csv") < page.index('id="build"')


def test_only_tables_that_the_archive_has_are_named(client: Client) -> None:
    make_dataset(files=3, remote=2)
    page = get(client, "/collections/new/")
    assert "remote.csv" in page
    assert "unavailable.csv" not in page
    assert 'data-availability="listed"' not in page
    page = get(client, "/collections/new/?local=1")
    assert "remote.csv" not in page


def test_a_collection_says_how_many_are_where(client: Client) -> None:
    make_dataset(files=3, remote=2)
    add_listed()
    collection = make_ready()
    client.force_login(collection.user)
    page = text_of(get(client, collection.get_absolute_url()))
    assert "3 on this server, 2 elsewhere with an address, 1 listed only" in page
    assert "no image files" not in page


def test_a_collection_without_files_says_so_in_every_state_and_in_the_list(client: Client) -> None:
    make_dataset(files=0, remote=2)
    collection = make_collection()
    client.force_login(collection.user)
    for state in ("pending", "failed"):
        page = get(client, collection.get_absolute_url())
        assert f'data-status="{state}"' in page
        assert 'class="notice notice-error" id="no-files"' in page
        client.post(f"{collection.get_absolute_url()}cancel/")
    assert 'class="mark mark-bad">no image files<' in get(client, "/collections/")


def test_excluded_files_are_among_the_numbers_of_the_page(client: Client) -> None:
    make_dataset(files=2, remote=1)
    for number in range(2):
        image_file(number).unlink()
    collection = build(make_collection())
    build_without_problems(collection=collection)
    build(collection)
    client.force_login(collection.user)

    page = text_of(get(client, collection.get_absolute_url()))

    assert "3 images from 1 dataset: 1 elsewhere with an address, 2 excluded." in page
    assert "only tables: 2 files are excluded, and no other was on this server" in page


@pytest.mark.parametrize("is_of_before", [False, True])
def test_a_page_promises_the_same_bytes_only_where_a_rebuild_gives_them(
    client: Client, monkeypatch: pytest.MonkeyPatch, is_of_before: bool
) -> None:
    make_dataset(files=1)
    collection = make_ready()
    if is_of_before:
        Collection.objects.update(program="")
    client.force_login(collection.user)
    path = collection.get_absolute_url()
    assert "a rebuilt archive is the same file" in text_of(get(client, path))
    monkeypatch.setattr(fingerprint, "CONTENTS_VERSION", "next")
    page = text_of(get(client, path))
    assert "a rebuilt archive is the same file" not in page
    assert "medagg has changed since this archive was built" in page
    client.post(f"{path}expire/")
    page = text_of(get(client, path))
    assert "the same bytes" not in page.partition("Fingerprint")[0]
    assert "a rebuild gives the same images. medagg has changed since" in page


def test_a_page_reads_no_excluded_images_however_many_there_are(client: Client) -> None:
    make_dataset(files=2)
    image_file(0).unlink()
    collection = build(make_collection())
    build_without_problems(collection=collection)
    build(collection)
    client.force_login(collection.user)
    for path in ("", "status/"):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"{collection.get_absolute_url()}{path}").status_code == 200
        asked = [each["sql"] for each in queries if '"problem"' in each["sql"]]
        bounds = ("COUNT(", "LIMIT", '"position" <=')
        assert not [each for each in asked if not any(bound in each for bound in bounds)]


def test_no_image_is_left_out_where_the_database_has_no_room(
    client: Client, settings: LazySettings
) -> None:
    make_dataset(files=2)
    image_file(0).unlink()
    collection = build(make_collection())
    client.force_login(collection.user)
    settings.DATABASE_MAX_BYTES = 1
    with pytest.raises(Busy, match="Nothing was changed"):
        build_without_problems(collection=collection)
    collection.refresh_from_db()
    assert (collection.status, collection.num_images) == ("failed", 2)
    assert not collection.items.filter(is_excluded=True).exists()


def test_an_old_collection_of_what_was_not_local_opens_with_both_values(client: Client) -> None:
    make_dataset(files=1, remote=1)
    add_listed()
    collection = make_collection("local=0")
    collection.filter_snapshot |= {"local": ["0"]}
    collection.save()
    client.force_login(collection.user)
    page = get(client, collection.get_absolute_url())
    (link,) = re.findall(r'href="(/images/\?[^"]*)">Open this search', page)
    again = get(client, link.replace("&amp;", "&"))
    assert 'data-total="2"' in again
    assert re.findall(r'id="local-([^"]*)" checked', again) == ["elsewhere", "listed"]


@pytest.mark.parametrize("name", ["", "owner"])
@pytest.mark.parametrize("path", ["/images/", "/datasets/rays/"])
def test_above_a_limit_the_pages_say_it_and_how_to_get_below(
    client: Client, settings: LazySettings, name: str, path: str
) -> None:
    make_dataset(files=5)
    if name:
        client.force_login(UserFactory(username=name))
    settings.COLLECTION_MAX_IMAGES = 5
    assert re.findall(r'class="button[^"]*" href="/collections/new/', get(client, path))
    settings.COLLECTION_MAX_IMAGES = 4
    page = get(client, path)
    said = "5 images match, and a collection holds at most 4. Add filters until it fits."
    assert f"Build a collection: {said}" in text_of(page)
    assert not re.findall(r'class="button[^"]*" href="/collections/new/', page)
    (narrow,) = re.findall(r'href="([^"]*)">Narrow the search', page)
    assert f'id="{narrow[1:]}"' in page if narrow[0] == "#" else narrow == "/images/?dataset=rays"


def test_the_limit_of_bytes_counts_too(client: Client, settings: LazySettings) -> None:
    make_dataset(files=5)
    settings.COLLECTION_MAX_BYTES = 1000
    page = text_of(get(client, "/images/"))
    assert "a collection holds at most 1.0 kB of files" in page
    assert "Build collection from" not in page


def test_narrowing_brings_the_button_back(client: Client, settings: Any) -> None:
    make_dataset(files=5)
    settings.COLLECTION_MAX_IMAGES = 4
    assert "Build collection from all 3 images" in text_of(get(client, "/images/?sex=F"))
