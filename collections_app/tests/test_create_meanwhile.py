"""Freezing while others write to the catalog: one state is frozen, or the freeze is refused."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.test import Client

from catalog.importers.rows import ImageRow
from catalog.importers.store import store_images
from catalog.models import Dataset, Image
from catalog.profiles.building import lock_datasets, touch_datasets
from catalog.services import StillInUse, delete_dataset, delete_images
from collections_app.builds.build import build_collection
from collections_app.models import Collection
from collections_app.selection.refusals import NotBuildable
from collections_app.tests.factories import make_collection, make_dataset
from vocab.tests.factories import AreaFactory

pytestmark = pytest.mark.django_db(transaction=True)


class Elsewhere:
    """Runs a function in a transaction on another connection, which stays open until it may end."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.is_done, self.may_end = threading.Event(), threading.Event()
        self.errors: list[BaseException] = []
        self._work = work
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Elsewhere":
        self._thread.start()
        assert self.is_done.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.may_end.set()
        self._thread.join(20)
        assert not self.errors, self.errors

    def _run(self) -> None:
        try:
            with transaction.atomic():
                self._work()
                self.is_done.set()
                self.may_end.wait(10)
        except BaseException as error:  # noqa: BLE001 - raised at the end of the test
            self.errors.append(error)
        finally:
            self.is_done.set()
            connection.close()


def test_an_image_deleted_during_the_freeze_is_not_frozen() -> None:
    make_dataset("rays", files=3)
    image = Image.objects.order_by("pk")[0]
    with Elsewhere(lambda: delete_images(image_ids=[image.pk])) as deleting:
        # The freeze waits for the other transaction, which ends meanwhile.
        threading.Timer(0.5, deleting.may_end.set).start()
        with pytest.raises(NotBuildable, match="2 images match now, not 3"):
            make_collection("")
    assert not Collection.objects.exists()
    assert make_collection("").num_images == 2


def test_a_dataset_deleted_during_the_freeze_is_not_frozen() -> None:
    make_dataset("other", files=1)
    dataset = make_dataset("rays", files=3)
    with Elsewhere(lambda: delete_dataset(dataset=dataset)) as deleting:
        threading.Timer(0.5, deleting.may_end.set).start()
        with pytest.raises(NotBuildable, match="1 images match now, not 4"):
            make_collection("")
    assert make_collection("").num_images == 1


def test_deleting_a_dataset_waits_for_the_freeze_of_its_images() -> None:
    dataset = make_dataset("rays", files=3)
    with Elsewhere(lambda: make_collection("")) as freezing:
        threading.Timer(0.5, freezing.may_end.set).start()
        with pytest.raises(StillInUse):
            delete_dataset(dataset=dataset)
    build_collection(collection_id=Collection.objects.get().pk)
    assert Collection.objects.get().status == "ready"


@pytest.mark.parametrize("kind", ["image", "dataset"])
def test_what_a_freeze_takes_while_it_is_deleted_in_the_admin_stays(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # As with a role that has no right to skip them, where a freeze locks only the images.
    monkeypatch.setattr("collections_app.selection.freeze.may_skip_checks", lambda cursor: False)
    dataset = make_dataset("rays", files=3)
    pk = dataset.pk if kind == "dataset" else dataset.images.latest("pk").pk
    with Elsewhere(lambda: make_collection("")) as freezing:
        threading.Timer(0.5, freezing.may_end.set).start()
        path = f"/admin/catalog/{kind}/{pk}/delete/"
        page = admin_client.post(path, {"post": "yes"}, follow=True)
    assert "ollections hold" in page.content.decode()
    assert dataset.images.count() == 3
    assert make_collection("").num_images == 3


def test_a_running_import_does_not_delay_a_freeze() -> None:
    dataset = make_dataset("rays", files=3)
    known = list(Image.objects.values_list("source_id", flat=True))
    rows = [ImageRow(source_id, sex="O") for source_id in [*known, "new"]]
    with Elsewhere(lambda: store_images(dataset=dataset, rows=rows)):
        assert make_collection("").num_files == 3
    assert make_collection("sex=O").num_images == 4


def test_editing_a_dataset_waits_for_its_import(admin_client: Client) -> None:
    dataset = make_dataset("rays", files=1)
    heart = AreaFactory(code="heart")
    path = f"/admin/catalog/dataset/{dataset.pk}/change/"
    form = admin_client.get(path).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    given = {name: value for name, value in values.items() if value not in (None, [])}
    given |= {"relations-TOTAL_FORMS": 0, "relations-INITIAL_FORMS": 0}

    def claim() -> None:
        with connection.cursor() as cursor:
            lock_datasets(cursor, [dataset.pk])

    answers: list[int] = []

    def save() -> None:
        answers.append(admin_client.post(path, {**given, "area": heart.pk}).status_code)
        connection.close()

    importing = Elsewhere(claim)
    with importing:
        saving = threading.Thread(target=save)
        saving.start()
        saving.join(1)
        assert saving.is_alive()
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
            # The rows that an import writes last are not locked.
            touch_datasets(cursor, [dataset.pk])
    saving.join(10)
    assert answers == [302]
    assert Dataset.objects.get(pk=dataset.pk).area == heart
