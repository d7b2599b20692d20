"""The snapshot always agrees with the database, whoever writes to it."""

import threading

import pytest
from django.db import connection, transaction
from django.http import QueryDict

from catalog.models import Dataset
from catalog.profiles.building import rebuild_profiles
from catalog.search.filters import ImageFilterSet
from catalog.search.snapshot import current_snapshot, read_stamp
from catalog.services import delete_dataset
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from vocab.models import Label
from vocab.tests.factories import LabelFactory, TagFactory, add_alias


def total(query: str = "") -> int:
    return ImageFilterSet(QueryDict(query)).total


@pytest.fixture
def dataset(db: None) -> Dataset:
    dataset = DatasetFactory(slug="rays")
    ImageFactory(dataset=dataset, labels=["nodule"])
    make_searchable()
    assert total() == 1
    return dataset


def test_nothing_is_read_again_while_nothing_changes(dataset: Dataset) -> None:
    assert current_snapshot() is current_snapshot()


def test_plain_sql_is_noticed_too(dataset: Dataset) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE catalog_dataset SET is_active = false")
        assert total() == 0
        cursor.execute("UPDATE catalog_dataset SET is_active = true, slug = 'beams'")
        assert total("dataset=beams") == 1
        cursor.execute("INSERT INTO catalog_dataset_tags (dataset_id, tag_id) VALUES (%s, %s)",
                       [dataset.pk, TagFactory(code="png").pk])  # fmt: skip
        assert total("tag=png") == 1
        cursor.execute("DELETE FROM catalog_dataset_tags")
        assert total("tag=png") == 0
        cursor.execute("UPDATE vocab_label SET name = 'Knot', code = 'knot'")
        assert total("label=knot") == 1


def test_a_new_spelling_is_known_at_once(dataset: Dataset) -> None:
    assert ImageFilterSet(QueryDict("label=knob")).problems
    add_alias(Label.objects.get(code="nodule"), "knob")
    assert total("label=knob") == 1


def test_an_inactive_label_changes_nothing(dataset: Dataset) -> None:
    before = read_stamp()
    LabelFactory(code="unheard", is_active=False)
    assert read_stamp() == before


def test_a_deleted_dataset_is_forgotten(dataset: Dataset) -> None:
    other = DatasetFactory(slug="other")
    ImageFactory(dataset=other)
    make_searchable()
    assert total() == 2
    delete_dataset(dataset=other)
    assert total() == 1


def test_what_was_rolled_back_is_not_remembered(dataset: Dataset) -> None:
    with transaction.atomic():
        ImageFactory(dataset=dataset)
        rebuild_profiles(dataset_ids=[dataset.pk])
        assert total() == 2
        transaction.set_rollback(True)
    assert total() == 1


def test_a_snapshot_tells_which_datasets_have_changed_since(dataset: Dataset) -> None:
    other = DatasetFactory(slug="other")
    snapshot = current_snapshot()
    ImageFactory(dataset=dataset)
    rebuild_profiles(dataset_ids=[dataset.pk])
    assert snapshot.is_unchanged([other.pk])
    assert not snapshot.is_unchanged([dataset.pk, other.pk])


@pytest.mark.django_db(transaction=True)
def test_another_connection_sees_a_change_when_it_is_committed() -> None:
    dataset = DatasetFactory(slug="rays")
    ImageFactory(dataset=dataset)
    make_searchable()
    assert total() == 1
    seen: list[int] = []

    def ask_elsewhere() -> None:
        seen.append(total())
        connection.close()

    with transaction.atomic():
        ImageFactory(dataset=dataset)
        rebuild_profiles(dataset_ids=[dataset.pk])
        asking = threading.Thread(target=ask_elsewhere)
        asking.start()
        asking.join()
    assert seen == [1]
    assert total() == 2
