"""The admin as a curator uses it: every model, at any size, with the services behind it."""

import re
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.models import Dataset, DatasetRelation, Image, ImageLabel, ImageProfile
from catalog.search.snapshot import read_stamp
from catalog.tests.factories import DatasetFactory, ImageFactory
from collections_app.builds.build import build_collection
from collections_app.models import Collection
from collections_app.services import CANCELLED_BY_OPERATOR
from collections_app.tests.conftest import clean_folders  # noqa: F401 - archives are built here
from collections_app.tests.factories import make_collection, make_dataset
from medagg.admin import AccountAdmin
from vocab.models import Label, Modality
from vocab.tests.factories import (
    AreaFactory,
    LabelFactory,
    ModalityFactory,
    TagFactory,
    add_alias,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def curator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("curator"))
    return client


def form_of(response: Any) -> dict[str, Any]:
    """All fields of an admin change form with their present values, inlines included."""
    context = response.context
    fields: dict[str, Any] = {}
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            fields[bound.html_name] = "" if value is None else value
    return {name: value for name, value in fields.items() if value is not False}


def edit(client: Client, path: str, **changed: Any) -> Any:
    return client.post(path, {**form_of(client.get(path)), **changed})


def sum_profiles(**only: Any) -> int:
    profiles = ImageProfile.objects.filter(**only)
    return sum(profiles.values_list("num_images", flat=True))


@pytest.mark.parametrize("model", ["vocab", "catalog", "collections_app"])
def test_every_model_can_be_looked_at(curator: Client, model: str) -> None:
    make_dataset(files=2)
    make_collection("")
    add_alias(ModalityFactory(code="dx"), "X-ray")
    registered = {m for m in admin.site._registry if m._meta.app_label == model}
    assert registered
    for entity in registered:
        base = f"/admin/{model}/{entity._meta.model_name}/"
        assert curator.get(base).status_code == 200
        assert curator.get(f"{base}?q=x").status_code == 200
        row = entity._default_manager.first()
        if row:
            assert curator.get(f"{base}{row.pk}/change/").status_code == 200


def test_ordinary_users_have_no_admin(client: Client) -> None:
    client.force_login(User.objects.create_user("researcher"))
    assert client.get("/admin/catalog/dataset/").status_code == 302


def test_the_image_list_costs_the_same_whatever_the_table_holds(curator: Client) -> None:
    dataset = DatasetFactory()
    counts = []
    for _ in range(2):
        for _ in range(20):
            ImageFactory(dataset=dataset, labels=["nodule"])
        with CaptureQueriesContext(
            connection,
        ) as queries:
            curator.get("/admin/catalog/image/")
        counts.append(len(queries))
        full = [q["sql"] for q in queries if "COUNT(" in q["sql"] and "LIMIT" not in q["sql"]]
        assert not full, "a count over the whole table"
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("path", "word", "number"),
    [("image", "ds-one", 2), ("image", "im-b", 1), ("image", "ds-one im-b", 0), ("image", "x", 0),
     ("imagelabel", "nodule", 3), ("imagelabel", "im-a", 2), ("imagelabel", "nodule im-a1", 1)],
)  # fmt: skip
def test_images_are_found_by_queries_that_indexes_serve(
    curator: Client, path: str, word: str, number: int
) -> None:
    for slug, source_ids in {"ds-one": ("im-a1", "im-a2"), "ds-two": ("im-b",)}.items():
        dataset = DatasetFactory(slug=slug)
        for source_id in source_ids:
            ImageFactory(dataset=dataset, source_id=source_id, labels=["nodule"])
    with CaptureQueriesContext(connection) as queries:
        answer = curator.get(f"/admin/catalog/{path}/", {"q": word})
    assert answer.context["cl"].result_count == number
    conditions = [query["sql"].partition(" WHERE ")[2] for query in queries]
    either = [each for each in conditions if " OR " in each]
    assert not [each for each in either if '."slug"' in each or '."code"' in each]


def test_usage_is_counted(curator: Client) -> None:
    make_dataset(files=3)
    assert "3 images" in curator.get("/admin/vocab/modality/?q=dx").content.decode()
    assert "2 images" in curator.get("/admin/vocab/label/?q=nodule").content.decode()


def test_deactivating_a_term_hides_it_and_activating_shows_it_again(curator: Client) -> None:
    make_dataset(files=3)
    nodule = Label.objects.get(code="nodule")
    path = "/admin/vocab/label/"
    curator.post(path, {"action": "deactivate", "_selected_action": [nodule.pk]})
    assert 'data-value="nodule"' not in curator.get("/images/").content.decode()
    curator.post(path, {"action": "activate", "_selected_action": [nodule.pk]})
    assert 'data-value="nodule"' in curator.get("/images/").content.decode()


def test_an_alias_that_is_added_is_understood_at_once(
    curator: Client, django_capture_on_commit_callbacks: Any
) -> None:
    ct = ModalityFactory(code="ct")
    DatasetFactory(slug="lung", title="Lung", terms__modalities=[ct])
    with django_capture_on_commit_callbacks(execute=True):
        edit(
            curator, f"/admin/vocab/modality/{ct.pk}/change/",
            **{"aliases-TOTAL_FORMS": "1", "aliases-0-text": "Tomogram", "aliases-0-term": ct.pk},
        )  # fmt: skip
    assert [alias.key for alias in ct.aliases.all()] == ["tomogram"]
    assert 'data-total="1"' in curator.get("/datasets/?q=tomogram").content.decode()
    assert 'data-total="1"' in curator.get("/datasets/?modality=TOMOGRAM").content.decode()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["Effusion"], "already an alias of"),
        (["new", "NEW"], "is given twice"),
        (["!!"], "at least one letter"),
    ],
)
def test_an_alias_that_clashes_is_refused_with_the_reason(
    curator: Client, texts: list[str], message: str
) -> None:
    add_alias(LabelFactory(code="pleural-effusion"), "effusion")
    label = LabelFactory(code="edema")
    rows = {f"aliases-{n}-text": text for n, text in enumerate(texts)}
    rows |= {f"aliases-{n}-term": label.pk for n in range(len(texts))}
    response = edit(
        curator, f"/admin/vocab/label/{label.pk}/change/",
        **{"aliases-TOTAL_FORMS": str(len(texts))}, **rows,
    )  # fmt: skip
    assert response.status_code == 200
    assert message in response.content.decode()
    assert not label.aliases.exists()


def test_an_alias_of_a_label_may_hold_in_one_area_only(curator: Client) -> None:
    lung, eye = AreaFactory(code="lung"), AreaFactory(code="eye")
    label = LabelFactory(code="wet")
    add_alias(LabelFactory(code="other"), "edema", area=eye)
    path = f"/admin/vocab/label/{label.pk}/change/"

    def save(*areas: Any) -> Any:
        rows: dict[str, Any] = {}
        for n, area in enumerate(areas):
            rows |= {f"aliases-{n}-text": "Edema", f"aliases-{n}-area": area}
            rows |= {f"aliases-{n}-term": label.pk}
        return edit(curator, path, **{"aliases-TOTAL_FORMS": str(len(areas))}, **rows)

    assert "only in images of" in curator.get(path).content.decode().casefold()
    assert "is given twice" in save(lung.pk, lung.pk).content.decode()
    assert "already an alias of Other" in save(eye.pk).content.decode()
    save(lung.pk, "")
    assert set(label.aliases.values_list("area__code", flat=True)) == {"lung", None}
    assert "Edema (only in images of Lung)" in curator.get("/vocabularies/label/").content.decode()
    label.aliases.filter(area=None).delete()
    edit(curator, path, **{"aliases-0-area": AreaFactory(code="skin").pk})
    assert [alias.area.code for alias in label.aliases.all()] == ["skin"]
    edit(curator, path, **{"aliases-0-area": lung.pk})
    refused = curator.post(f"/admin/vocab/anatomicalarea/{lung.pk}/delete/", {"post": "yes"})
    assert "Label alias: Edema" in refused.content.decode()


def test_the_code_of_a_term_never_changes(curator: Client) -> None:
    ct = ModalityFactory(code="ct")
    edit(curator, f"/admin/vocab/modality/{ct.pk}/change/", code="changed", name="New name")
    assert Modality.objects.get(pk=ct.pk).code == "ct"
    assert Modality.objects.get(pk=ct.pk).name == "New name"


def test_a_dataset_that_gets_another_area_is_counted_there(curator: Client) -> None:
    dataset = make_dataset(files=3)
    heart = AreaFactory(code="heart")
    edit(curator, f"/admin/catalog/dataset/{dataset.pk}/change/", area=heart.pk)
    assert sum_profiles(area=heart) == 3


@pytest.mark.parametrize(
    ("local_path", "message"),
    [
        ("/etc", "lies outside"),
        ("../..", "lies outside"),
        ("nowhere", "does not exist"),
        ("a" * 400, "not the path of a folder"),
    ],
)
def test_a_local_path_must_lie_in_the_dataset_folders(
    curator: Client, local_path: str, message: str
) -> None:
    dataset = DatasetFactory()
    response = edit(curator, f"/admin/catalog/dataset/{dataset.pk}/change/", local_path=local_path)
    assert message in response.content.decode()


def test_relations_that_cannot_be_are_refused_with_the_reason(curator: Client) -> None:
    mine, other = DatasetFactory(), DatasetFactory()
    path = f"/admin/catalog/dataset/{mine.pk}/change/"

    def relate(number: int, dataset: Dataset) -> Any:
        cells = {"kind": "part_of", "other": dataset.pk, "source": "a paper"}
        rows = {f"relations-{number}-{name}": value for name, value in cells.items()}
        return edit(curator, path, **rows, **{"relations-TOTAL_FORMS": number + 1})

    assert "not related to itself" in relate(0, mine).content.decode()
    assert relate(0, other).status_code == 302
    assert relate(1, other).status_code == 200
    assert [each.other for each in mine.relations.all()] == [other]


def test_a_dataset_is_no_part_of_itself_by_way_of_others(curator: Client) -> None:
    first, second, third = (DatasetFactory(slug=slug) for slug in ("first", "second", "third"))
    for dataset, other in ((first, second), (second, third)):
        DatasetRelation.objects.create(dataset=dataset, kind="part_of", other=other, source="x")

    def relate(kind: str) -> Any:
        cells = {"kind": kind, "other": first.pk, "source": "a paper"}
        rows = {f"relations-0-{name}": value for name, value in cells.items()}
        path = f"/admin/catalog/dataset/{third.pk}/change/"
        return edit(curator, path, **rows, **{"relations-TOTAL_FORMS": 1})

    said = relate("part_of").content.decode()
    assert (
        "This is a circle: third is part of first, which is part of second, which is part of "
        "third. Choose another one, or remove that relation."
    ) in said
    assert not third.relations.exists()
    assert relate("takes_images_from").status_code == 302


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://example.org/rays", "which begins with https:// or http://"),
        ("https://example.org/\x01rays", "other signs that cannot be seen"),
        ("https://good.example@evil.example/", "Leave out what stands before @"),
    ],
)
def test_an_address_is_that_of_a_page(curator: Client, address: str, message: str) -> None:
    dataset = DatasetFactory(source_url="https://example.org/")
    path = f"/admin/catalog/dataset/{dataset.pk}/change/"
    assert message in edit(curator, path, source_url=address).content.decode()
    dataset.refresh_from_db()
    assert dataset.source_url == "https://example.org/"


@pytest.mark.parametrize("sign", ["\u202e", "\u2028", "\u200b", "\a"])
def test_a_title_has_no_sign_that_cannot_be_seen(curator: Client, sign: str) -> None:
    dataset = DatasetFactory(title="Rays")
    path = f"/admin/catalog/dataset/{dataset.pk}/change/"
    said = edit(curator, path, title=f"X{sign}syar").content.decode()
    assert "A title has no signs that cannot be seen" in said
    dataset.refresh_from_db()
    assert dataset.title == "Rays"


def test_an_edited_image_counts_at_once(curator: Client) -> None:
    make_dataset(files=2)
    image = Image.objects.get(source_id="rays-001")
    label = LabelFactory(code="mass")
    edit(
        curator, f"/admin/catalog/image/{image.pk}/change/", sex="O",
        **{
            "image_labels-TOTAL_FORMS": "2", "image_labels-1-label": label.pk,
            "image_labels-1-finding": "positive", "image_labels-1-image": image.pk,
            "image_labels-1-metadata_json": "{}",
        },
    )  # fmt: skip
    assert ImageLabel.objects.filter(image=image, label=label).exists()
    assert 'data-total="1"' in curator.get("/images/?sex=O&label=mass").content.decode()


def test_a_dataset_in_use_is_not_deleted_and_the_reason_is_given(curator: Client) -> None:
    dataset = make_dataset(files=2)
    make_collection("")
    path = f"/admin/catalog/dataset/{dataset.pk}/delete/"
    response = curator.post(path, {"post": "yes"}, follow=True)
    assert "Deactivate it instead" in response.content.decode()
    assert Dataset.objects.filter(pk=dataset.pk).exists()
    Collection.objects.all().delete()
    curator.post(path, {"post": "yes"})
    assert not Image.objects.exists()
    assert not ImageProfile.objects.exists()


def test_an_image_in_use_is_not_deleted(curator: Client) -> None:
    make_dataset(files=2)
    make_collection("sex=F")
    held, free = Image.objects.order_by("source_id")
    for image in (held, free):
        path = f"/admin/catalog/image/{image.pk}/delete/"
        curator.post(path, {"post": "yes"}, follow=True)
    assert list(Image.objects.all()) == [held]
    assert sum_profiles() == 1


@pytest.mark.django_db(transaction=True)
def test_collections_are_rebuilt_and_expired_through_the_services(curator: Client) -> None:
    make_dataset(files=2)
    collection = make_collection("")
    build_collection(collection_id=collection.pk)

    def act(action: str) -> str:
        data = {"action": action, "_selected_action": [collection.pk]}
        html = curator.post("/admin/collections_app/collection/", data, follow=True)
        collection.refresh_from_db()
        return html.content.decode()

    assert "1 expired" in act("expire")
    assert (collection.status, collection.archive_path) == ("expired", "")
    assert "1 queued" in act("rebuild")
    assert collection.status == "pending"
    assert "0 expired" in act("expire"), "a pending one cannot expire"


def test_a_build_that_the_operator_cancels_is_told_to_its_owner_as_such(curator: Client) -> None:
    make_dataset(files=2)
    collection = make_collection("")
    Collection.objects.update(wants_mail=True)
    owner = Client()
    owner.force_login(collection.user)
    path = collection.get_absolute_url()
    assert owner.get(path).status_code == 200
    data = {"action": "cancel", "_selected_action": [collection.pk]}
    html = curator.post("/admin/collections_app/collection/", data, follow=True)
    assert "1 cancelled." in html.content.decode()
    collection.refresh_from_db()
    assert (collection.status, collection.mail_is_due) == ("failed", True)
    assert "could not be built" in owner.get("/datasets/").content.decode()
    page = owner.get(path).content.decode()
    assert CANCELLED_BY_OPERATOR in page
    assert "You cancelled" not in page
    assert ">Build it</button>" in page
    assert "Try again" not in page
    assert ">Failed</span>" in owner.get("/collections/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_only_the_expiry_of_a_ready_collection_is_edited(curator: Client) -> None:
    make_dataset(files=1)
    collection = make_collection("")
    path = f"/admin/collections_app/collection/{collection.pk}/change/"
    edit(curator, path, title="Better", status="ready", archive_path="/etc/passwd")
    collection.refresh_from_db()
    assert (collection.title, collection.status, collection.archive_path) == (
        "My rays",
        "pending",
        "",
    )
    build_collection(collection_id=collection.pk)
    edit(curator, path, expires_at_0="2031-01-02", expires_at_1="03:04:05")
    collection.refresh_from_db()
    assert collection.expires_at is not None
    assert collection.expires_at.year == 2031
    response = edit(curator, path, expires_at_0="", expires_at_1="")
    assert "Set the time until which the archive is kept" in response.content.decode()


def test_a_user_is_deleted_with_collections_and_archives(
    curator: Client, django_capture_on_commit_callbacks: Any
) -> None:
    make_dataset(files=1)
    collection = make_collection("")
    path = f"/admin/auth/user/{collection.user_id}/delete/"
    assert "1" in curator.get(path).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        curator.post(path, {"post": "yes"})
    assert not Collection.objects.exists()
    assert not User.objects.filter(pk=collection.user_id).exists()


def test_images_in_use_are_not_deleted_in_bulk(curator: Client) -> None:
    make_dataset(files=2)
    make_collection("sex=F")
    ids = list(Image.objects.values_list("pk", flat=True))
    data = {"action": "delete_selected", "_selected_action": ids, "post": "yes"}
    response = curator.post("/admin/catalog/image/", data, follow=True)
    assert "it cannot be deleted" in response.content.decode()
    assert Image.objects.count() == 2


def test_a_deleted_term_is_no_longer_found(
    curator: Client, django_capture_on_commit_callbacks: Any
) -> None:
    tag = TagFactory(code="zebra")
    DatasetFactory(terms__tags=[tag])
    assert 'data-total="1"' in curator.get("/datasets/?q=zebra").content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        curator.post(f"/admin/vocab/tag/{tag.pk}/delete/", {"post": "yes"})
    assert 'data-total="0"' in curator.get("/datasets/?q=zebra").content.decode()


@pytest.mark.parametrize("name", ["metadata_json", "image_labels-0-metadata_json"])
@pytest.mark.parametrize("value", ["[1]", "null", ""])
def test_metadata_that_is_no_object_is_refused(curator: Client, name: str, value: str) -> None:
    make_dataset(files=1)
    image = Image.objects.get()
    path = f"/admin/catalog/image/{image.pk}/change/"
    assert "Give a JSON object" in edit(curator, path, **{name: value}).content.decode()


def test_a_broader_term_is_chosen_in_the_admin_and_counts_at_once(
    curator: Client, django_capture_on_commit_callbacks: Any
) -> None:
    head, brain = AreaFactory(code="head"), AreaFactory(code="brain")
    DatasetFactory(slug="brains", title="Thinking", area=brain)
    assert 'data-total="0"' in curator.get("/datasets/?area=head").content.decode()
    path = f"/admin/vocab/anatomicalarea/{brain.pk}/change/"
    with django_capture_on_commit_callbacks(execute=True):
        edit(curator, path, broader=head.pk)
    assert 'data-total="1"' in curator.get("/datasets/?area=head").content.decode()
    assert 'data-total="1"' in curator.get("/datasets/?q=head").content.decode()
    assert "Head" in curator.get("/admin/vocab/anatomicalarea/?q=brain").content.decode()


def test_a_circle_of_broader_terms_is_refused_in_the_admin(curator: Client) -> None:
    head = AreaFactory(code="head")
    brain = AreaFactory(code="brain", broader=head)
    path = f"/admin/vocab/anatomicalarea/{head.pk}/change/"
    said = unescape(edit(curator, path, broader=brain.pk).content.decode())
    assert "This is a circle, with “Head” below “Brain” and “Brain” below “Head”." in said
    head.refresh_from_db()
    assert head.broader is None


def test_a_term_with_narrower_ones_is_not_deleted(curator: Client) -> None:
    head = AreaFactory(code="head")
    AreaFactory(code="brain", broader=head)
    path = f"/admin/vocab/anatomicalarea/{head.pk}/delete/"
    said = curator.get(path).content.decode()
    assert "Cannot delete" in said
    assert "Brain" in said


# --- Two editors at a time ---
def open_form(client: Client, path: str) -> dict[str, Any]:
    """What a browser would post: the fields, and what they were when the form was opened."""
    page = client.get(path)
    fields = form_of(page)
    for name, value in re.findall(
        r'<input type="hidden" name="((?:[\w-]+-)?initial-[\w-]+)"(?: value="([^"]*)")?',
        page.content.decode(),
    ):
        fields.setdefault(name, []).append(unescape(value))
        if name.endswith(("_0", "_1")):  # a date and a time
            fields[name.removeprefix("initial-")] = unescape(value)
    return fields


def test_two_editors_of_an_image_keep_each_others_work(curator: Client) -> None:
    make_dataset(files=1)
    image = Image.objects.get()
    path = f"/admin/catalog/image/{image.pk}/change/"
    first, second = open_form(curator, path), open_form(curator, path)
    Image.objects.update(width=4000)  # by an import

    curator.post(path, {**first, "sex": "O", "metadata_json": '{"a": 1}'})
    curator.post(path, {**second, "age_years": "77"})

    image.refresh_from_db()
    assert (image.sex, image.age_years, image.width) == ("O", 77, 4000)
    assert image.metadata_json == {"a": 1}
    assert image.image_labels.exists()


def test_an_editor_is_told_of_what_another_did_to_the_same_field(curator: Client) -> None:
    make_dataset(files=1)
    image = Image.objects.get()
    path = f"/admin/catalog/image/{image.pk}/change/"
    first, second = open_form(curator, path), open_form(curator, path)

    curator.post(path, {**first, "age_years": "12"})
    refused = curator.post(path, {**second, "age_years": "77"})

    assert "This was changed to “12.0” while you had the form open." in refused.content.decode()
    image.refresh_from_db()
    assert image.age_years == 12
    assert curator.post(path, {**open_form(curator, path), "age_years": "77"}).status_code == 302


def test_two_editors_of_a_dataset_keep_each_others_terms(curator: Client) -> None:
    dataset, tag = DatasetFactory(title="Rays"), TagFactory(code="zebra")
    path = f"/admin/catalog/dataset/{dataset.pk}/change/"
    first, second = open_form(curator, path), open_form(curator, path)

    curator.post(path, {**first, "tags": [tag.pk]})
    curator.post(path, {**second, "title": "X-rays"})

    dataset.refresh_from_db()
    assert dataset.title == "X-rays"
    assert list(dataset.tags.all()) == [tag]


# --- What an edit wakes ---
def test_a_saved_term_reindexes_only_datasets_that_have_it(
    curator: Client, django_capture_on_commit_callbacks: Any
) -> None:
    ct, mr = ModalityFactory(code="ct"), ModalityFactory(code="mr")
    with_ct = DatasetFactory(terms__modalities=[ct])
    DatasetFactory(terms__modalities=[mr])
    path = f"/admin/vocab/modality/{ct.pk}/change/"

    def save(**changed: Any) -> set[int]:
        """The datasets that each process has to load anew afterwards."""
        before = dict(Dataset.objects.values_list("pk", "version"))
        with django_capture_on_commit_callbacks(execute=True):
            assert curator.post(path, {**open_form(curator, path), **changed}).status_code == 302
        return {pk for pk, now in Dataset.objects.values_list("pk", "version") if before[pk] != now}

    stamp = read_stamp()
    assert save() == set()
    assert read_stamp() == stamp, "nobody reloads anything after nothing"
    assert save(name="Tomography by computer") == {with_ct.pk}
    assert save(description="Only this") == set()
    assert read_stamp() != stamp


@pytest.mark.parametrize("model", [Image, Dataset])
def test_saving_a_form_without_a_change_wakes_nobody(
    curator: Client, model: type[Image] | type[Dataset]
) -> None:
    make_dataset(files=1)
    path = f"/admin/catalog/{model._meta.model_name}/{model.objects.get().pk}/change/"
    stamp = read_stamp()

    assert curator.post(path, open_form(curator, path)).status_code == 302
    assert read_stamp() == stamp


def test_the_page_of_a_password_of_nobody_is_none(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    assert client.get("/admin/auth/user/abc/password/").status_code == 404


def test_who_edits_groups_gives_no_rights_by_them(client: Client) -> None:
    helper = User.objects.create_user("helper", is_staff=True)
    group = Group.objects.create(name="helpers")
    group.permissions.set(Permission.objects.filter(content_type__model__in=["user", "group"]))
    helper.groups.add(group)
    client.force_login(helper)
    rights = [str(pk) for pk in Permission.objects.values_list("pk", flat=True)]
    before = set(group.permissions.all())

    client.post(f"/admin/auth/group/{group.pk}/change/", {"name": "ours", "permissions": rights})
    client.post("/admin/auth/group/add/", {"name": "more", "permissions": rights})

    assert set(group.permissions.all()) == before
    assert not Permission.objects.filter(group__name="more").exists()


def test_who_approves_accounts_gets_no_administrators_rights(client: Client) -> None:
    helper = User.objects.create_user("helper", is_staff=True)
    helper.user_permissions.set(Permission.objects.filter(content_type__model="user"))
    root = User.objects.create_superuser("root")
    new = User.objects.create_user("new", is_active=False)
    client.force_login(helper)

    for user, page in ((root, "change"), (root, "password"), (root, "delete"), (helper, "change")):
        assert client.get(f"/admin/auth/user/{user.pk}/{page}/").status_code in (302, 404)
    address = f"/admin/auth/user/{new.pk}/change/"
    form = {"username": "new", "date_joined_0": "2026-11-01", "date_joined_1": "12:00:00"}
    form |= form_of(client.get(address))
    rights = {"is_superuser": "on", "is_staff": "on", "user_permissions": ["1"]}
    client.post(address, form | rights | {"is_active": "on"})
    User.objects.filter(pk=root.pk).update(is_active=False)
    for action in ("approve", "delete_selected"):
        chosen = {"action": action, "_selected_action": [root.pk], "post": "yes"}
        client.post("/admin/auth/user/", chosen)

    new.refresh_from_db()
    assert new.is_active
    assert not new.is_superuser
    assert not new.is_staff
    assert not new.user_permissions.exists()
    assert not User.objects.get(pk=root.pk).is_active


def test_whose_rights_are_taken_away_cannot_give_them_back_by_a_form_on_its_way(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = User.objects.create_superuser("ada")
    client.force_login(ada)
    path = f"/admin/auth/user/{ada.pk}/change/"
    form = open_form(client, path)

    def wait_for_lock(*_: object) -> None:
        User.objects.filter(pk=ada.pk).update(is_superuser=False, is_active=False)

    monkeypatch.setattr(AccountAdmin, "lock", wait_for_lock)
    assert client.post(path, {**form, "first_name": "Ada"}).status_code == 403
    ada.refresh_from_db()
    assert ada.first_name == "", "nothing is written"


def test_the_form_of_an_account_writes_what_was_changed_only(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    ada = User.objects.create_user("ada", "ada@example.org", "a-Long-pass-9")
    path = f"/admin/auth/user/{ada.pk}/change/"
    assert ada.password not in client.get(path).content.decode()
    form = open_form(client, path)
    User.objects.filter(pk=ada.pk).update(email="new@example.org")  # by a link of a mail
    assert client.post(path, {**form, "first_name": "Ada"}).status_code == 302
    ada.refresh_from_db()
    assert (ada.first_name, ada.email) == ("Ada", "new@example.org")


NEW_PASSWORD = {
    "usable_password": "true", "password1": "another-Pass-8", "password2": "another-Pass-8",
}  # fmt: skip


@pytest.fixture
def mallory(client: Client, monkeypatch: pytest.MonkeyPatch) -> User:
    """An administrator who is none any more once a password of theirs is hashed."""
    user = User.objects.create_superuser("mallory")
    client.force_login(user)
    hash_it = User.set_password

    def set_password(other: User, password: str) -> None:
        User.objects.filter(pk=user.pk).update(is_superuser=False)
        hash_it(other, password)

    monkeypatch.setattr(User, "set_password", set_password)
    return user


@pytest.mark.usefixtures("mallory")
def test_whose_rights_are_taken_away_sets_no_password_of_another(client: Client) -> None:
    boss = User.objects.create_superuser("boss", password="a-Long-pass-9")
    # Their session, which Django had begun anew for the new password, ends with it.
    assert client.post(f"/admin/auth/user/{boss.pk}/password/", NEW_PASSWORD).status_code == 400
    boss.refresh_from_db()
    assert boss.check_password("a-Long-pass-9")


@pytest.mark.usefixtures("mallory")
def test_whose_rights_are_taken_away_adds_no_account(client: Client) -> None:
    management = {"waiting_address-TOTAL_FORMS": 0, "waiting_address-INITIAL_FORMS": 0}
    answer = client.post(
        "/admin/auth/user/add/", {**NEW_PASSWORD, **management, "username": "neumann"}
    )
    assert answer.status_code == 403
    assert not User.objects.filter(username="neumann").exists()
