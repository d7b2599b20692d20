"""Collections by broader terms: the items, and the filters that the page offers again."""

import html
import re
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import transaction
from django.http import QueryDict
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, given, settings

from catalog.models import Dataset
from catalog.search.filters import ImageFilterSet
from catalog.storage.web_threads import NoThreadLeft
from catalog.tests.factories import ImageFactory, make_searchable
from catalog.tests.search import plain_hierarchy as plain
from catalog.views.common import bound_search
from collections_app.models import Collection
from collections_app.tests.factories import build, make_collection, make_dataset, read_archive
from vocab.models import AnatomicalArea, Label
from vocab.services import set_terms_active
from vocab.tests.factories import AreaFactory, LabelFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def catalog() -> None:
    plain.make_catalog()


@given(
    areas=plain.trees(plain.AREAS),
    modalities=plain.trees(plain.MODALITIES),
    later=plain.trees(plain.AREAS),
    query=plain.image_queries,
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_frozen_items_are_those_of_plain_sql_and_the_search_again_finds_the_same(
    catalog: None, areas: Any, modalities: Any, later: Any, query: Any
) -> None:
    with transaction.atomic():
        plain.plant_both(areas, modalities)
        filters = ImageFilterSet(plain.as_params(query))
        if not filters.problems and filters.total:
            collection = make_collection(plain.as_params(query).urlencode())
            expected = sorted(plain.ask_images(query))
            assert frozen(collection) == expected
            assert found_again(collection) == expected
            plain.plant(AnatomicalArea, plain.AREAS, (later[0], [True] * 6))
            assert frozen(collection) == expected
            assert found_again(collection) == expected, "also in another hierarchy"
        transaction.set_rollback(True)


def frozen(collection: Collection) -> list[int]:
    return sorted(collection.items.values_list("image_id", flat=True))


def found_again(collection: Collection) -> list[int]:
    """The images of the link “Open this search in the catalog”."""
    filters = ImageFilterSet(QueryDict(search_again(collection)))
    assert not filters.problems, filters.problems
    return sorted(filters.images().values_list("pk", flat=True))


def search_again(collection: Collection) -> str:
    page = show(collection)
    return re.findall(r'href="/images/\?([^"]*)">Open this search', page)[0].replace("&amp;", "&")


def show(collection: Collection) -> str:
    client = Client()
    client.force_login(collection.user)
    return client.get(f"/collections/{collection.uuid}/").content.decode()


@pytest.fixture
def heads() -> Dataset:
    """Five images of the head, one of the brain and one of the skull."""
    dataset = make_dataset(files=5)
    dataset.area = AreaFactory(code="head")
    dataset.save()
    for code in ("brain", "skull"):
        area = AreaFactory(code=code, broader=dataset.area)
        ImageFactory(dataset=dataset, source_id=code, area=area, remote_url=f"s3://b/{code}")
    make_searchable()
    return dataset


def test_a_collection_says_which_terms_it_includes(heads: Dataset) -> None:
    collection = make_collection("area=head")
    assert collection.num_images == 7
    assert collection.filter_snapshot == {"area": ["head", "brain", "skull"], "kind": ["picture"]}
    assert "<b>Area:</b> Head, with Brain, Skull" in show(collection)
    assert search_again(collection) == "area=head&kind=picture"
    card = read_archive(build(collection))["README.md"].decode()
    assert "- Area: Head, with Brain, Skull" in card


def test_a_collection_of_the_term_alone(heads: Dataset) -> None:
    collection = make_collection("area=head~only")
    assert collection.num_images == 5
    assert collection.filter_snapshot == {"area": ["head"], "kind": ["picture"]}
    assert "<b>Area:</b> Head only" in show(collection)
    assert search_again(collection) == "area=head~only&kind=picture"


def test_the_search_of_a_collection_from_before_the_hierarchy_means_what_it_meant(
    heads: Dataset,
) -> None:
    AnatomicalArea.objects.update(broader=None)
    collection = make_collection("area=head")
    assert collection.num_images == 5
    words = collection.provenance["words"]
    for code in ("brain", "skull"):
        AnatomicalArea.objects.filter(code=code).update(broader=heads.area)
    collection.refresh_from_db()
    assert collection.provenance["words"] == words
    assert words[0] == {"filter": "Area", "value": "Head"}
    assert "<b>Area:</b> Head</li>" in show(collection)
    assert search_again(collection) == "area=head~only&kind=picture"
    assert found_again(collection) == frozen(collection)


def test_a_term_that_is_narrower_since_is_not_added_to_the_search(heads: Dataset) -> None:
    collection = make_collection("area=head")
    AreaFactory(code="face", broader=heads.area)
    assert search_again(collection) == "area=head~only&area=brain&area=skull&kind=picture"


def test_what_will_be_frozen_is_said_before(heads: Dataset, client: Client) -> None:
    page = client.get("/collections/new/?area=head").content.decode()
    assert "<b>Area:</b> Head, with Brain, Skull" in page


def changed(collection: Collection) -> list[str]:
    """What the page says of words that mean something else today."""
    page = html.unescape(show(collection))
    found = re.findall(r"<li>(“[^<]*”: then [^<]*; today [^<]*)</li>", page)
    assert ("Words that mean something else today" in page) == bool(found)
    return found


def test_the_words_of_a_search_mean_what_they_mean_today_and_the_page_says_so(
    heads: Dataset,
) -> None:
    collection = make_collection("q=head")
    assert collection.num_images == 7
    assert search_again(collection) == "q=head&kind=picture"
    assert changed(collection) == []
    AnatomicalArea.objects.filter(code="skull").update(broader=None)
    AreaFactory(code="face", broader=heads.area)
    assert changed(collection) == [
        "“head”: then Area: Head, Brain, Skull; today Area: Head, Brain, Face"
    ]
    assert len(found_again(collection)) == 6, "the words as they are read today"
    assert len(frozen(collection)) == 7, "the collection itself"


def test_while_too_many_searches_run_the_page_says_that_it_has_not_looked(
    heads: Dataset, rf: RequestFactory, settings: LazySettings
) -> None:
    """It costs as much as a search, and is bounded with them."""
    collection, filtered = make_collection("q=head"), make_collection("area=head")
    with ExitStack() as searches:
        with suppress(NoThreadLeft):
            for _ in range(settings.WEB_THREADS):
                searches.enter_context(bound_search(rf.get("/images/"), QueryDict()))
        assert "Too many searches run at the moment" in show(collection)
        assert "Too many searches" not in show(filtered)
    assert "Too many searches" not in show(collection)


def test_words_that_are_read_otherwise_today_are_named(heads: Dataset) -> None:
    make_tumours(heads)
    collection = make_collection("q=her2+head")
    LabelFactory(code="her2-minus", name="HER2-")
    assert changed(collection) == [
        "“her2”: then Label: HER2+; today Label: HER2+, HER2-",
    ]
    set_terms_active(terms=Label.objects.all(), is_active=False)
    assert changed(collection) == [
        "“her2”: then Label: HER2+; today a word of the images’ own texts"
    ]
    set_terms_active(terms=AnatomicalArea.objects.filter(code="head"), is_active=False)
    assert changed(collection)[1:] == [
        "“head”: then Area: Head, Brain, Skull; today a word of the images’ own texts"
    ]


def make_tumours(dataset: Dataset) -> None:
    LabelFactory(code="her2-plus", name="HER2+")
    ImageFactory(dataset=dataset, labels=["her2-plus"], remote_url="s3://b/her2")
    make_searchable()


def test_words_that_are_one_name_today_are_named(heads: Dataset) -> None:
    collection = make_collection("q=head+brain")
    AreaFactory(code="brainstem", name="Head brain")
    assert changed(collection) == [
        "“head”: then Area: Head, Brain, Skull; today no words of their own",
        "“brain”: then Area: Brain; today no words of their own",
        "“head brain”: then no words of their own; today Area: Head brain",
    ]


def test_nothing_is_said_of_collections_that_do_not_record_it(heads: Dataset) -> None:
    collection = make_collection("q=head")
    del collection.provenance["understood"]
    collection.save()
    AreaFactory(code="face", broader=heads.area)
    assert changed(collection) == []
