"""Forms of the admin take so many rows, and odd values are refused, not an error of the server."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import JSONField, Model
from django.test import Client

from catalog.models import Dataset, Image
from collections_app.tests.factories import make_dataset
from medagg.models import WaitingAddress
from medagg.tests.test_admin import edit, form_of
from medagg.tests.test_admin_bounds import LISTS, list_of
from vocab.admin_base.bounds import MAX_NEW_ROWS, BoundedInline
from vocab.admin_base.values import MAX_LEVELS
from vocab.models import Label
from vocab.tests.factories import add_alias

pytestmark = pytest.mark.django_db
INLINES = [
    (model, inline) for model in LISTS for inline in admin.site.get_model_admin(model).inlines
]
IMAGES = "/admin/catalog/image/"
# As JSON, which is valid, but can neither be stored nor shown.
NO_JSON = ["[" * 900 + "]" * 900, "9" * 5000, '{"a": "\\ud800"}', '{"\\udc00": 1}',
           '{"a": "\\u0000"}', '{"a": NaN}', '{"a": 1e999}',
           '{"a": ' + "[" * MAX_LEVELS + "]" * MAX_LEVELS + "}"]  # fmt: skip
ODD = ["\0", "é", "9" * 30, "9" * 5000, "x" * 300, "2026-01-01", "1,é", "%00", "1"]


@pytest.fixture
def operator(client: Client) -> Client:
    make_dataset(files=2)
    operator = User.objects.create_superuser("operator")
    WaitingAddress.objects.create(user=operator, address="operator@example.org")
    client.force_login(operator)
    return client


def change_page(model: type[Model]) -> str:
    return f"{list_of(model)}{model._default_manager.earliest('pk').pk}/change/"


@pytest.mark.parametrize(("model", "inline"), INLINES)
def test_each_inline_takes_so_many_rows_more_than_there_are(
    operator: Client, model: type[Model], inline: type
) -> None:
    assert issubclass(inline, BoundedInline), "derive it from BoundedInline"
    if not model._default_manager.exists():
        model._default_manager.create(code="one", name="One")
    path = change_page(model)
    formset = operator.get(path).context["inline_admin_formsets"][0].formset
    answer = operator.post(path, {f"{formset.prefix}-TOTAL_FORMS": 2000,
                                  f"{formset.prefix}-INITIAL_FORMS": 0})  # fmt: skip
    posted = answer.context["inline_admin_formsets"][0].formset
    assert len(posted.forms) == formset.initial_form_count() + MAX_NEW_ROWS
    assert "at most" in str(posted.non_form_errors())


def test_no_list_is_a_form() -> None:
    assert not [model for model in LISTS if admin.site.get_model_admin(model).list_editable]


def test_so_many_rows_are_added_at_once(operator: Client) -> None:
    label = Label.objects.earliest("pk")
    for text in ("first", "second"):
        add_alias(label, text)
    texts = [f"spelling {number}" for number in range(MAX_NEW_ROWS)]
    rows = {f"aliases-{number}-text": text for number, text in enumerate(texts, start=2)}
    answer = edit(operator, change_page(Label), **{"aliases-TOTAL_FORMS": MAX_NEW_ROWS + 2}, **rows)
    assert answer.status_code == 302
    assert label.aliases.count() == MAX_NEW_ROWS + 2


@pytest.mark.parametrize("text", NO_JSON, ids=lambda text: text[:12])
@pytest.mark.parametrize("name", ["metadata_json", "image_labels-0-metadata_json"])
def test_json_that_cannot_be_stored_is_refused_and_shown_again(
    operator: Client, name: str, text: str
) -> None:
    path = change_page(Image)
    if name in form_of(operator.get(path)):
        answer = edit(operator, path, **{name: text})
    else:
        label = Label.objects.earliest("pk").pk
        answer = edit(operator, path, **{name: text, "image_labels-TOTAL_FORMS": 1,
                                         "image_labels-0-label": label})  # fmt: skip
    assert answer.status_code == 200
    assert answer.context["errors"]
    edit(operator, path, **{f"initial-{name}": text})  # the value that the form was opened with


@pytest.mark.parametrize("text", ['{"a": ["é", 1.5, null]}', r'{"a": "\\u0000"}', '{"a": "𝄞"}'])
def test_other_json_is_stored(operator: Client, text: str) -> None:
    assert edit(operator, change_page(Image), metadata_json=text).status_code == 302
    assert "a" in Image.objects.earliest("pk").metadata_json


def test_each_json_of_a_form_is_checked(operator: Client) -> None:
    for model in LISTS:
        answer = operator.get(change_page(model)) if model._default_manager.exists() else None
        form: Any = answer and answer.context["adminform"].form
        for field in model._meta.concrete_fields:
            if isinstance(field, JSONField) and form and field.name in form.fields:
                assert type(form.fields[field.name]).__name__ == "CheckedJSONField"


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.label)
def test_an_address_fills_a_new_form_with_what_its_fields_take(
    operator: Client, model: type[Model]
) -> None:
    path = f"{list_of(model)}add/"
    first = operator.get(path)
    if first.status_code == 403:
        return
    for name in first.context["adminform"].form.fields:
        for value in ODD:
            assert operator.get(path, {name: value}).status_code == 200, (name, value)


def test_an_address_fills_a_new_form(operator: Client) -> None:
    dataset = Image.objects.earliest("pk").dataset_id
    page = operator.get(f"{IMAGES}add/?dataset={dataset}&source_id=mine")
    initial = page.context["adminform"].form.initial
    assert (initial["dataset"], initial["source_id"]) == (str(dataset), "mine")


@pytest.mark.parametrize("page", ["change", "delete"])
def test_an_empty_name_of_a_field_is_none(operator: Client, page: str) -> None:
    path = change_page(Label).replace("change", page)
    assert operator.get(f"{path}?_to_field=").status_code == 200
    assert operator.post(path, {"_to_field": "", "post": "yes"}).status_code in (200, 302)


@pytest.mark.parametrize("value", ["", "\0", "é", "9" * 30, "9" * 5000])
def test_an_action_for_what_is_no_row_changes_nothing(operator: Client, value: str) -> None:
    chosen = {"action": "deactivate", "_selected_action": value}
    assert operator.post(list_of(Label), chosen).status_code in (302, 400)
    assert not Label.objects.filter(is_active=False).exists()


@pytest.mark.parametrize("value", ["%00", "%(x)s", "5d", "\0", ",".join(["1"] * 50_000)])
def test_a_list_of_none_of_the_choices_is_refused(operator: Client, value: str) -> None:
    answer = edit(operator, change_page(Dataset), dimensions=value)
    assert len(answer.context["adminform"].form.errors["dimensions"]) == 1


@pytest.mark.parametrize("name", ["area", "license", "tags", "modalities"])
@pytest.mark.parametrize("value", ["aaaa", "9" * 40])
def test_what_is_no_key_is_refused_where_terms_are_completed(
    operator: Client, name: str, value: str
) -> None:
    answer = edit(operator, change_page(Dataset), **{name: value})
    assert name in answer.context["adminform"].form.errors
