"""Foreign keys hold in imports, though they are checked for all rows at once where that may be."""

import threading
from collections.abc import Iterator

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from catalog.importers.rows import ImageRow, LabelRow
from catalog.importers.store import store_images
from catalog.models import Dataset, Image, ImageLabel
from catalog.tests.factories import DatasetFactory
from catalog.tests.profiles.test_profiles import assert_profiles_are_true
from vocab.models import Label, Modality
from vocab.tests.factories import LabelFactory, ModalityFactory

ROWS = [
    ImageRow("a", modality="ct", labels=(LabelRow("nodule"),)),
    ImageRow("b", modality="ct", labels=(LabelRow("nodule"), LabelRow("unheard of"))),
]


@pytest.fixture
def dataset(db: None) -> Dataset:
    LabelFactory(code="nodule")
    ModalityFactory(code="ct")
    made: Dataset = DatasetFactory(slug="rays")
    return made


def import_and_again(dataset: Dataset) -> None:
    assert store_images(dataset=dataset, rows=ROWS).added == 2
    changed = [*ROWS[:1], ImageRow("b", sex="F", labels=(LabelRow("nodule"),)), ImageRow("c")]
    report = store_images(dataset=dataset, rows=changed)
    assert (report.added, report.changed, report.unchanged) == (1, 1, 1)
    assert ImageLabel.objects.count() == 2
    assert_profiles_are_true()


def test_foreign_keys_are_checked_for_all_rows_at_once(dataset: Dataset) -> None:
    import_and_again(dataset)


@pytest.mark.usefixtures("role_without_grant")
def test_row_by_row_for_a_role_that_may_do_no_other(dataset: Dataset) -> None:
    import_and_again(dataset)


@pytest.mark.parametrize("model", [Label, Modality])
def test_a_term_that_is_deleted_meanwhile_stops_the_import(
    dataset: Dataset, model: type[Label | Modality]
) -> None:
    def rows() -> Iterator[ImageRow]:
        yield ROWS[0]
        model.objects.all().delete()
        yield ImageRow("z")

    with pytest.raises(IntegrityError, match="Import again"), transaction.atomic():
        store_images(dataset=dataset, rows=rows())
    assert not Image.objects.exists()


def label_with_nothing(image: Image) -> None:
    with transaction.atomic():
        ImageLabel.objects.create(image=image, label_id=10**6)
        connection.check_constraints()


def test_foreign_keys_are_checked_again_after_an_import(dataset: Dataset) -> None:
    store_images(dataset=dataset, rows=ROWS)
    with pytest.raises(IntegrityError):
        label_with_nothing(Image.objects.get(source_id="a"))


@pytest.mark.django_db(transaction=True)
def test_a_term_in_use_cannot_be_deleted_until_the_import_has_ended() -> None:
    LabelFactory(code="nodule")
    modality = ModalityFactory(code="ct")
    dataset = DatasetFactory(slug="rays")
    refusals: list[str] = []

    def delete_elsewhere() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '300ms'")
            try:
                cursor.execute("DELETE FROM vocab_modality WHERE id = %s", [modality.pk])
            except DatabaseError as error:
                refusals.append(str(error))
        connection.close()

    with transaction.atomic():
        store_images(dataset=dataset, rows=ROWS)
        deleting = threading.Thread(target=delete_elsewhere)
        deleting.start()
        deleting.join()
    assert "lock timeout" in refusals[0]
    assert Image.objects.filter(modality=modality).count() == 2
