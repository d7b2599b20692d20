"""The snapshot always agrees with the database, whoever writes to it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django.http import QueryDict
from django.test import Client

from catalog.models import Dataset
from catalog.profiles.building import rebuild_profiles
from catalog.search import shared, snapshot
from catalog.search.filters import ImageFilterSet
from catalog.search.snapshot import Snapshot, Stamp, current_snapshot, read_stamp
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


@pytest.mark.django_db(transaction=True)
def test_a_change_is_read_once_by_however_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = DatasetFactory(slug="rays")
    current_snapshot()
    loads: list[Stamp] = []
    load, is_over = snapshot._load, threading.Event()

    def load_slowly(stamp: Stamp) -> Snapshot:
        loads.append(stamp)
        time.sleep(0.05)
        return load(stamp)

    def ask() -> None:
        while not is_over.wait(0.001):
            current_snapshot()
        connection.close()

    monkeypatch.setattr(snapshot, "_load", load_slowly)
    with ThreadPoolExecutor(8) as visitors:
        asking = [visitors.submit(ask) for _ in range(8)]
        for year in range(2001, 2006):
            Dataset.objects.filter(pk=dataset.pk).update(year=year)
            current_snapshot(waits=True)
        is_over.set()
    assert not any(each.exception() for each in asking)
    assert len(loads) == 5


@pytest.mark.django_db(transaction=True)
def test_pages_do_not_wait_for_what_another_thread_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = DatasetFactory(slug="rays", title="Old rays")
    before = current_snapshot()
    load, is_read, goes_on = snapshot._load, threading.Event(), threading.Event()

    def load_when_told(stamp: Stamp) -> Snapshot:
        is_read.set()
        assert goes_on.wait(30)
        return load(stamp)

    def ask() -> Snapshot:
        try:
            return current_snapshot(waits=True)
        finally:
            connection.close()

    monkeypatch.setattr(snapshot, "_load", load_when_told)
    monkeypatch.setattr(shared, "MAX_AGE_SECONDS", 600)
    Dataset.objects.filter(pk=dataset.pk).update(title="New rays")
    with ThreadPoolExecutor(2) as others:
        reading = others.submit(ask)
        assert is_read.wait(30)
        assert current_snapshot() is before
        assert Client().get("/").status_code == 200
        waiting = others.submit(ask)
        time.sleep(0.2)
        assert not waiting.done(), "as a freeze that has to start again"
        goes_on.set()
        assert list(waiting.result().titles.values()) == ["New rays"]
        assert reading.result() is waiting.result() is current_snapshot()
