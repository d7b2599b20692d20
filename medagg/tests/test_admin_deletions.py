"""Deletions and actions in the admin load a bounded number of rows, whatever points at them."""

import re
from typing import Any

import pytest
from axes.models import AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.tests.factories import ImageFactory
from collections_app.tests.factories import make_collection, make_dataset
from medagg.tests.test_admin_bounds import LISTS, list_of
from vocab.admin_base.deletions import NUM_NAMED
from vocab.models import Label
from vocab.tests.factories import AreaFactory, TagFactory, TaskTypeFactory, ViewFactory, add_alias

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    """Who is the last of the accounts."""
    make_dataset(files=2)
    make_collection("")
    for make in (AreaFactory, ViewFactory, TagFactory, TaskTypeFactory):
        make(code="one")
    Group.objects.create(name="curators")
    client.post("/accounts/login/", {"username": "nobody", "password": "wrong"})
    AccessLog.objects.create()
    AccessFailureLog.objects.create()
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.label)
def test_the_page_before_a_deletion_counts_and_loads_few_rows(
    operator: Client, model: type[Model]
) -> None:
    first: Any = model._default_manager.earliest("pk")
    with CaptureQueriesContext(connection) as queries:
        page = operator.get(f"{list_of(model)}{first.pk}/delete/")
    asked = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert not [sql for sql in asked if not re.search(r"^SELECT COUNT\(|LIMIT \d+$", sql)]
    may_delete = admin.site.get_model_admin(model).has_delete_permission(page.wsgi_request)
    assert page.status_code == (200 if may_delete else 403)


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.label)
def test_an_action_for_too_many_rows_does_nothing_and_says_so(
    operator: Client, model: type[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vocab.admin_base.bounds.MAX_CHOSEN", 0)
    path = list_of(model)
    rows = list(model._default_manager.order_by("pk").values())
    for action in re.findall(r'<option value="(\w+)">', operator.get(path).content.decode()):
        data = {"action": action, "_selected_action": 1, "select_across": 1, "post": "yes"}
        page = operator.post(path, data, follow=True)
        assert "choose at most 0 at a time" in page.content.decode(), action
    assert list(model._default_manager.order_by("pk").values()) == rows


def test_a_used_label_is_kept_and_some_of_its_images_are_named(operator: Client) -> None:
    for _ in range(NUM_NAMED + 1):
        ImageFactory(labels=["effusion"])
    label = Label.objects.get(code="effusion")
    said = operator.get(f"/admin/vocab/label/{label.pk}/delete/").content.decode()
    assert "Cannot delete" in said
    assert said.count("Image label: ") == NUM_NAMED
    assert "And more image labels" in said


def test_what_is_deleted_with_a_term_is_counted(operator: Client) -> None:
    tag = TagFactory(code="zebra")
    add_alias(tag, "striped")
    data = {"action": "delete_selected", "_selected_action": tag.pk}
    for page in (
        operator.get(f"/admin/vocab/tag/{tag.pk}/delete/"),
        operator.post("/admin/vocab/tag/", data),
    ):
        assert "Aliases: 1" in page.content.decode()
    operator.post("/admin/vocab/tag/", {**data, "post": "yes"})
    assert not type(tag).objects.filter(pk=tag.pk).exists()
