"""Nobody waits for an import that reads: not a curator, not another import with the same words."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from catalog.importers.options import ImportLimits
from catalog.importers.pipeline import ImportStopped, import_source
from catalog.importers.rows import ImageRow, ImportReport, LabelRow
from catalog.models import Dataset, Image, ImageLabel
from catalog.tests.importers.import_rows import ListSource, row
from catalog.tests.profiles.test_profiles import assert_profiles_are_true
from vocab.models import Label
from vocab.tests.factories import LabelFactory, LicenseFactory, add_alias

WAIT_SECONDS = 20.0
pytestmark = pytest.mark.django_db(transaction=True)
# What the session of an import holds, other than of its own tables.
LOCKS = """
    SELECT activity.state, coalesce(array_agg(held.locktype || ' ' || held.mode)
                                    FILTER (WHERE held.locktype <> 'advisory'), '{}')
      FROM pg_stat_activity activity LEFT JOIN pg_locks held USING (pid)
     WHERE activity.pid = %s GROUP BY activity.state
"""


class Halting:
    """A source that stands still behind its rows until it may go on."""

    num_rows: int | None = None

    def __init__(self, *rows: ImageRow, last: ImageRow | Exception) -> None:
        self.entry: Mapping[str, Any] = {"slug": "rays", "title": "Rays"}
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()
        self.session = 0
        self._rows, self._last = rows, last

    def rows(self) -> Iterator[ImageRow]:
        yield from self._rows
        self.session = connection.connection.info.backend_pid
        self.has_begun.set()
        assert self.may_go_on.wait(WAIT_SECONDS)
        if isinstance(self._last, Exception):
            raise self._last
        yield self._last


@contextmanager
def standing_still(source: Halting) -> Iterator[Future[ImportReport]]:
    """The import of the source behind its first rows; it goes on when the block has ended."""

    def run() -> ImportReport:
        try:
            return import_source(source=source)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(run)
        assert source.has_begun.wait(WAIT_SECONDS)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '1s'")
            yield started
        finally:
            source.may_go_on.set()
    connection.close()


def labeled(source_id: str, *words: str, finding: str = "positive") -> ImageRow:
    return row(source_id, labels=tuple(LabelRow(word, finding) for word in words))


def stored() -> list[tuple[str, str, str, Any]]:
    given = ImageLabel.objects.filter(image__dataset__slug="rays").order_by("image__source_id")
    names = ("image__source_id", "label__name", "finding", "metadata_json")
    return list(given.order_by("image__source_id", "label__name").values_list(*names))


def test_an_import_that_reads_has_no_transaction_and_locks_nothing() -> None:
    source = Halting(labeled("a", "zebra"), last=row("b"))
    with standing_still(source) as started, connection.cursor() as cursor:
        cursor.execute(LOCKS, [source.session])
        assert cursor.fetchone() == ("idle", [])
        assert not Dataset.objects.exists()
        assert not Label.objects.exists()
    assert started.result().added == 2
    assert Label.objects.get().is_active is False


def test_a_word_that_is_new_to_two_imports_becomes_one_label() -> None:
    LabelFactory(name="Nodule", code="nodule")
    source = Halting(
        labeled("a", "zebra Stripes", "Nodule"), labeled("b", "zebra Stripes", finding="negative"),
        last=labeled("c", "Nodule"),
    )  # fmt: skip
    with standing_still(source) as started:
        other = ListSource([labeled("x", "Zebra stripes")], slug="other")
        assert import_source(source=other).added == 1

    assert started.result().added == 3
    label = Label.objects.get(name="Zebra stripes")
    assert Label.objects.count() == 2
    word = {"word": "zebra Stripes"}
    assert stored() == [
        ("a", "Nodule", "positive", {}), ("a", label.name, "positive", word),
        ("b", label.name, "negative", word), ("c", "Nodule", "positive", {}),
    ]  # fmt: skip
    assert_profiles_are_true()
    source.may_go_on.set()
    assert import_source(source=source).unchanged == 3


def test_a_word_that_a_curator_explains_meanwhile_means_what_the_curator_says() -> None:
    label = LabelFactory(name="Effusion", code="effusion")
    source = Halting(
        row("a", labels=(LabelRow("water", "uncertain"), LabelRow("Effusion"))), last=row("b")
    )
    with standing_still(source) as started:
        add_alias(label, "water")

    assert started.result().added == 2
    assert stored() == [("a", "Effusion", "positive", {})], "once, with the stronger finding"
    assert_profiles_are_true()


def test_an_import_that_fails_leaves_neither_dataset_nor_image_nor_label() -> None:
    source = Halting(labeled("a", "zebra"), last=ImportStopped("no more"))
    with standing_still(source) as started:
        pass
    assert isinstance(started.exception(), ImportStopped)
    assert not Dataset.objects.exists()
    assert not Image.objects.exists()
    assert not Label.objects.exists()
    source = Halting(labeled("a", "zebra"), last=row("b"))
    source.may_go_on.set()
    assert import_source(source=source).added == 2, "and nothing is in the way"


def test_of_an_import_that_is_refused_at_its_end_new_labels_wait_for_a_curator() -> None:
    import_source(source=ListSource([row(f"old {n}") for n in range(20)]))
    new = ListSource([labeled("new", "zebra")])

    with pytest.raises(ImportStopped, match="--allow-removal"):
        import_source(source=new)

    assert Image.objects.count() == 20
    assert Label.objects.get().is_active is False
    assert import_source(source=new, limits=ImportLimits(allow_removal=True)).removed == 20
    assert Label.objects.count() == 1


def test_a_dry_run_adds_no_term_and_says_the_same() -> None:
    source = ListSource([row("a", labels=(LabelRow("zebra"),), license="odd words")])

    dry = import_source(source=source, dry_run=True)

    assert not Label.objects.exists()
    assert not Dataset.objects.exists()
    LicenseFactory(code="other")
    assert import_source(source=source) == dry
