"""What staff may ask of lists in the admin by an address: words, filters, and no more."""

import re
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.models import Dataset, Image
from collections_app.models import Collection
from collections_app.tests.factories import make_collection, make_dataset
from vocab.admin_base.bounds import MAX_SEARCH_WORDS, MAX_VALUES, BoundedAdmin

pytestmark = pytest.mark.django_db
LISTS = sorted(admin.site._registry, key=lambda model: model._meta.label)
SEARCHED = [model for model in LISTS if admin.site.get_model_admin(model).search_fields]
COLLECTIONS = "/admin/collections_app/collection/"
# A column of each type; the lists share one class.
COLUMNS = {
    field.get_internal_type(): (model, field.name)
    for model in LISTS
    for field in model._meta.concrete_fields
}


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


def list_of(model: type[Model]) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def words(number: int) -> str:
    return "+".join(["a"] * number)


def ask(client: Client, path: str) -> tuple[Any, int]:
    """The answer, and how often its queries compare with a pattern."""
    with CaptureQueriesContext(connection) as queries:
        response = client.get(path)
    return response, sum(query["sql"].count(" LIKE ") for query in queries)


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.label)
def test_each_list_is_bounded(model: type[Model]) -> None:
    found = admin.site.get_model_admin(model)
    assert isinstance(found, BoundedAdmin), "derive it from BoundedAdmin"


@pytest.mark.parametrize("model", SEARCHED, ids=lambda model: model._meta.label)
def test_a_search_of_too_many_words_asks_nothing_and_says_so(
    operator: Client, model: type[Model]
) -> None:
    path = list_of(model)
    answer, compared = ask(operator, f"{path}?q={words(MAX_SEARCH_WORDS + 1)}")
    assert compared == 0
    assert f"at most {MAX_SEARCH_WORDS} words" in answer.content.decode()
    answer, _ = ask(operator, f"{path}?q={words(MAX_SEARCH_WORDS)}")
    assert answer.status_code == 200
    assert "Nothing was searched for" not in answer.content.decode()


def test_a_choice_that_is_completed_takes_as_many_words(operator: Client) -> None:
    make_dataset(files=1)
    field = "app_label=catalog&model_name=dataset&field_name=license"
    path = f"/admin/autocomplete/?{field}&term="
    assert ask(operator, f"{path}cc")[0].json()["results"]
    answer, compared = ask(operator, f"{path}{words(MAX_SEARCH_WORDS + 1)}")
    assert (answer.json()["results"], compared) == ([], 0)
    answer, compared = ask(operator, f"{path}%00")
    assert (answer.json()["results"], compared) == ([], 0)


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.label)
def test_no_list_is_filtered_by_a_pattern(operator: Client, model: type[Model]) -> None:
    for lookup in ("regex", "iregex", "icontains", "contains", "search"):
        answer, _ = ask(operator, f"{list_of(model)}?pk__{lookup}=(")
        assert answer.status_code == 400, lookup


@pytest.mark.parametrize("column", COLUMNS)
def test_no_column_is_filtered_by_a_pattern(operator: Client, column: str) -> None:
    model, name = COLUMNS[column]
    for lookup in ("regex", "iregex", "icontains", "contains", "search"):
        answer, _ = ask(operator, f"{list_of(model)}?{name}__{lookup}=(")
        assert answer.status_code == 400, lookup


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.label)
def test_each_filter_that_a_list_offers_is_taken(operator: Client, model: type[Model]) -> None:
    make_dataset(files=2)
    make_collection("")
    Client().post("/accounts/login/", {"username": "nobody", "password": "wrong"})
    Group.objects.create(name="curators")
    path = list_of(model)
    page = operator.get(path).content.decode()
    links = {unescape(link) for link in re.findall(r'href="(\?[^"]+)"', page)}
    assert links
    for link in links:
        assert operator.get(f"{path}{link}").status_code == 200, link


@pytest.mark.parametrize("number", [MAX_VALUES, MAX_VALUES + 1])
def test_so_many_values_are_no_filter(operator: Client, number: int) -> None:
    expected = 200 if number <= MAX_VALUES else 400
    tests = [f"{field.name}__isnull=0" for field in Collection._meta.fields]
    tests += [f"num_bytes__{comparison}=1" for comparison in ("gt", "gte", "lt", "lte", "exact")]
    for query in ("&".join(tests[:number]), f"pk__in={','.join('1' * number)}"):
        assert operator.get(f"{COLLECTIONS}?{query}").status_code == expected, query


@pytest.mark.parametrize(
    "query", ["created_at__day=1&created_at__day=2", "updated_at__day=1", "expires_at__year=2026"]
)
def test_no_list_computes_more_for_each_row_than_its_dates(operator: Client, query: str) -> None:
    assert operator.get(f"{COLLECTIONS}?{query}").status_code == 400


@pytest.mark.parametrize(
    "query",
    ["title=%00", "title__in=a,%00", "created_at__year=-1", "created_at__year=1e400",
     "created_at__year=99999999999999999999", "created_at__year=9999",
     "created_at__year=9999&created_at__month=12", "created_at__gt=9999-12-31T23:59:59-23:00",
     "created_at=0001-01-01T00:00:00%2B23:00", "num_images=x", "uuid__in=x"],
)  # fmt: skip
def test_what_the_database_cannot_compare_is_refused(operator: Client, query: str) -> None:
    assert operator.get(f"{COLLECTIONS}?{query}").status_code in (302, 400)  # Django's own: 302


@pytest.mark.parametrize("year", ["1", "9998", "9998&created_at__month=12&created_at__day=31"])
def test_the_first_and_the_last_year_are_years(operator: Client, year: str) -> None:
    make_dataset(files=2)
    make_collection("")
    assert operator.get(f"{COLLECTIONS}?created_at__year={year}").status_code == 200


@pytest.mark.parametrize("column", COLUMNS)
def test_no_value_of_a_column_is_an_error(operator: Client, column: str) -> None:
    make_dataset(files=1)
    model, name = COLUMNS[column]
    for value in ("zz", "9" * 30, "{", "9999-12-31T23:59:59-23:00"):
        for end in ("", "__in", "__gt"):
            answer = operator.get(f"{list_of(model)}?{name}{end}={value}")
            assert answer.status_code in (200, 302, 400), (end, value)


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.label)
def test_a_choice_in_a_window_is_by_a_column(operator: Client, model: type[Model]) -> None:
    names = [field.name for field in model._meta.get_fields(include_hidden=True)]
    for name in (*names, "nothing", "%00"):
        answer = operator.get(f"{list_of(model)}?_to_field={name}&_popup=1")
        assert answer.status_code in (200, 400), name
    assert operator.get(f"{list_of(model)}?_to_field=id&_popup=1").status_code == 200


@pytest.mark.parametrize(
    "query",
    ["title=Mine", "user={user}", "user__id__exact={user}", "status__exact=pending", "pk={pk}",
     "created_at__year={year}", "created_at__year={year}&created_at__month={month}",
     "num_images__gte=1", "uuid={uuid}", "verified_at__isnull=True"],
)  # fmt: skip
def test_lists_are_filtered_by_their_own_columns(operator: Client, query: str) -> None:
    make_dataset(files=2)
    mine = make_collection("", title="Mine")
    day = mine.created_at
    values = {"user": mine.user_id, "pk": mine.pk, "uuid": mine.uuid,
              "year": day.year, "month": day.month}  # fmt: skip
    answer = operator.get(f"{COLLECTIONS}?{query.format(**values)}")
    assert answer.status_code == 200
    assert answer.context["cl"].result_count == 1


@pytest.mark.parametrize(
    ("model", "lookup"),
    [("image", "collections"), ("image", "collections__in"), ("image", "collection_items"),
     ("image", "collection_items__collection"), ("image", "collections__user"),
     ("dataset", "images__collections"), ("dataset", "images")],
)  # fmt: skip
def test_who_sees_images_learns_nothing_of_collections(
    client: Client, model: str, lookup: str
) -> None:
    make_dataset(files=2)
    collection = make_collection("sex=F")
    curator = User.objects.create_user("curator", is_staff=True)
    rights = Permission.objects.filter(codename__in=["view_image", "view_dataset"])
    curator.user_permissions.set(rights)
    client.force_login(curator)
    assert client.get(f"/admin/catalog/{model}/").status_code == 200
    key = Image.objects.earliest("pk").pk if lookup == "images" else collection.pk
    assert client.get(f"/admin/catalog/{model}/?{lookup}={key}").status_code == 400


def test_staff_learns_no_address_by_a_number(operator: Client) -> None:
    make_dataset(files=2)
    collection = make_collection("")
    staff = Client()
    staff.force_login(User.objects.create_user("staff", is_staff=True))
    for each in (collection, Image.objects.earliest("pk"), Dataset.objects.get()):
        of_type = ContentType.objects.get_for_model(each).pk
        assert staff.get(f"/admin/r/{of_type}/{each.pk}/").status_code == 404
        page = operator.get(f"{list_of(type(each))}{each.pk}/change/").content.decode()
        (link,) = re.findall(r'href="([^"]+)" class="viewsitelink"', page)
        assert link == each.get_absolute_url()
