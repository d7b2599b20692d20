"""Storing rows: exactly the difference is written, and profiles follow."""

from collections.abc import Iterator

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from catalog.importers.options import ImportLimits, Listeners
from catalog.importers.rows import BadRow, ImageRow, ImportStopped, LabelRow
from catalog.importers.store import store_images
from catalog.models import Dataset, Image, ImageLabel, ImageProfile
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.importers.import_rows import FACTS, hold_images, row, row_versions, source_ids
from catalog.tests.profiles.test_profiles import assert_profiles_are_true
from vocab.tests.factories import AreaFactory, LabelFactory, ModalityFactory

pytestmark = pytest.mark.django_db

NODULE, MASS = LabelRow("nodule"), LabelRow("mass", "uncertain", 0.5)


@pytest.fixture
def dataset() -> Dataset:
    LabelFactory(code="nodule")
    LabelFactory(code="mass")
    ModalityFactory(code="ct")
    AreaFactory(code="head")
    made: Dataset = DatasetFactory(slug="rays", area=AreaFactory(code="chest"))
    return made


def counts(dataset: Dataset, rows: list[ImageRow | BadRow] | list[ImageRow]) -> tuple[int, ...]:
    """Added, changed, unchanged, removed."""
    report = store_images(dataset=dataset, rows=rows)
    return report.added, report.changed, report.unchanged, report.removed


def full_row(**values: object) -> ImageRow:
    """A row in which every column says something."""
    given = {
        "line": 2, "file_path": "a/b.png", "facts": FACTS, "remote_url": "s3://bucket/a",
        "modality": "CT", "area": "head", "subject_id": "p1", "sex": "F", "age_years": 61.5,
        "width": 512, "height": 256, "metadata": {"view": "PA", "k": [1, None]},
        "labels": (NODULE, MASS),
    }  # fmt: skip
    return row("a", **{**given, **values})


# --- What is stored ---
def test_every_column_of_a_row_is_stored(dataset: Dataset) -> None:
    assert counts(dataset, [full_row()]) == (1, 0, 0, 0)
    image = Image.objects.select_related("modality", "area", "profile").get()
    assert (image.source_id, image.file_path, image.remote_url) == ("a", "a/b.png", "s3://bucket/a")
    assert (image.modality.code, image.area.code) == ("ct", "head")  # type: ignore[union-attr]
    assert (image.subject_id, image.sex, image.age_years) == ("p1", "F", 61.5)
    assert (image.width, image.height) == (512, 256)
    facts = (image.size_bytes, image.sha256, image.crc32, image.mtime_ns)
    assert facts == (FACTS.size_bytes, FACTS.sha256, FACTS.crc32, FACTS.mtime_ns)
    assert image.metadata_json == {"view": "PA", "k": [1, None]}
    assert image.removed_at is None
    given = image.image_labels.order_by("label__code")
    assert [(each.label.code, each.finding, each.confidence) for each in given] == [
        ("mass", "uncertain", 0.5), ("nodule", "positive", None)
    ]  # fmt: skip
    profile = image.profile
    assert profile is not None
    assert (profile.sex, profile.age_band, profile.availability) == ("F", 60, "here")
    assert (profile.num_images, profile.num_bytes) == (1, 10)
    assert_profiles_are_true()


def test_a_row_with_few_values_is_stored(dataset: Dataset) -> None:
    store_images(dataset=dataset, rows=[row("a"), row("b", size_bytes=5_000_000)])
    image = Image.objects.get(source_id="a")
    assert (image.size_bytes, image.sha256, image.mtime_ns, image.age_years) == (
        None,
        "",
        None,
        None,
    )
    assert Image.objects.get(source_id="b").size_bytes == 5_000_000
    assert_profiles_are_true()


def test_an_area_is_kept_only_where_it_differs_from_the_datasets(dataset: Dataset) -> None:
    store_images(dataset=dataset, rows=[row("a", area="chest"), row("b", area="head")])
    assert Image.objects.get(source_id="a").area is None
    assert Image.objects.get(source_id="b").area.code == "head"  # type: ignore[union-attr]
    assert set(ImageProfile.objects.values_list("area__code", flat=True)) == {"chest", "head"}
    assert_profiles_are_true()


def test_images_of_one_profile_lie_together_in_the_order_of_their_rows(dataset: Dataset) -> None:
    sexes = ["F", "M", ""] * 40
    rows = [row(f"{number:03}", sex=sex) for number, sex in enumerate(sexes)]
    store_images(dataset=dataset, rows=rows)
    stored = list(Image.objects.order_by("id").values_list("profile_id", "source_id"))
    assert len(stored) == 120
    assert stored == sorted(stored)


def test_the_dataset_counts_its_images(dataset: Dataset) -> None:
    Dataset.objects.filter(pk=dataset.pk).update(num_images=99, size_mb=7)
    store_images(dataset=dataset, rows=[row("a"), row("b")])
    dataset.refresh_from_db()
    assert (dataset.num_images, dataset.size_mb) == (2, 7), "without sizes, the stated one stays"
    store_images(dataset=dataset, rows=[row("a", size_bytes=1), row("b", size_bytes=2_600_000)])
    dataset.refresh_from_db()
    assert (dataset.num_images, dataset.size_mb) == (2, 3)


def test_many_rows_come_in_blocks_and_all_arrive(dataset: Dataset) -> None:
    text = "x" * 2_000
    rows = (row(f"i{number}", metadata={"text": text}) for number in range(6_000))
    report = store_images(dataset=dataset, rows=rows)
    assert (report.added, dataset.images.count()) == (6_000, 6_000)


def test_a_source_may_ask_the_database_while_it_is_read(dataset: Dataset) -> None:
    """The connection is shared with the thread that sends blocks."""

    def rows() -> Iterator[ImageRow | BadRow]:
        for number in range(6_000):
            if number % 500 == 0:
                assert Dataset.objects.get(pk=dataset.pk).slug == "rays"
            yield row(f"i{number}", metadata={"text": "x" * 2_000})

    assert store_images(dataset=dataset, rows=rows()).added == 6_000


# --- The second time ---
def test_a_second_import_writes_nothing_at_all(dataset: Dataset) -> None:
    rows = [full_row(), row("b", labels=(LabelRow("unheard of"),)), row("c", area="chest")]
    store_images(dataset=dataset, rows=rows)
    before = row_versions()
    assert counts(dataset, list(rows)) == (0, 0, 3, 0)
    assert row_versions() == before


def test_a_second_import_writes_only_the_difference(dataset: Dataset) -> None:
    rows = [row("a", labels=(NODULE,)), row("b", sex="F"), row("c"), row("d")]
    store_images(dataset=dataset, rows=rows)
    before = {pk: place for pk, *place in row_versions()["catalog_image"]}
    ids = dict(Image.objects.values_list("source_id", "pk"))
    version = Dataset.objects.get().version
    changed = [row("a", labels=(MASS,)), row("b", sex="M"), row("d"), row("e", labels=(NODULE,))]

    assert counts(dataset, changed) == (1, 2, 1, 1)

    assert source_ids(dataset) == ["a", "b", "d", "e"]
    (given,) = Image.objects.get(source_id="a").image_labels.all()
    assert (given.label.code, given.finding, given.confidence) == ("mass", "uncertain", 0.5)
    after = {pk: place for pk, *place in row_versions()["catalog_image"]}
    assert after[ids["d"]] == before[ids["d"]]
    assert Image.objects.get(source_id="b").pk == ids["b"], "a changed image stays the same one"
    dataset.refresh_from_db()
    assert (dataset.num_images, dataset.version > version) == (4, True)
    assert_profiles_are_true()


CHANGES = [
    {"file_path": "a/c.png"}, {"facts": FACTS.__class__(11, "cd" * 32, 8, 9)},
    {"remote_url": "https://example.org/a"}, {"modality": ""}, {"area": "chest"},
    {"subject_id": "p2"}, {"sex": ""}, {"age_years": None}, {"age_years": 61.6}, {"width": None},
    {"height": 255}, {"metadata": {}}, {"metadata": {"view": "PA", "k": [1, 0]}}, {"labels": ()},
    {"labels": (NODULE, LabelRow("mass", "uncertain", 0.25))},
    {"labels": (NODULE, LabelRow("mass", "negative"))}, {"labels": (NODULE, LabelRow("Mass "))},
    {"file_path": "", "facts": None},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_of_any_column_is_noticed_and_can_be_undone(
    dataset: Dataset, change: dict[str, object]
) -> None:
    store_images(dataset=dataset, rows=[full_row(), row("b")])
    before = Image.objects.values("metadata_json", "profile_id", "age_years").get(source_id="a")
    assert counts(dataset, [full_row(**change), row("b")]) == (0, 1, 1, 0)
    assert_profiles_are_true()
    assert counts(dataset, [full_row(**change), row("b")]) == (0, 0, 2, 0)
    assert counts(dataset, [full_row(), row("b")]) == (0, 1, 1, 0)
    stored = Image.objects.values("metadata_json", "age_years").get(source_id="a")
    assert stored.items() <= before.items()
    assert_profiles_are_true()


def test_where_a_row_stands_in_its_table_is_no_change(dataset: Dataset) -> None:
    store_images(dataset=dataset, rows=[row("a", line=1), row("b", line=2)])
    assert counts(dataset, [row("b", line=1), row("a", line=2)]) == (0, 0, 2, 0)


def test_labels_in_another_order_are_no_change(dataset: Dataset) -> None:
    store_images(dataset=dataset, rows=[row("a", labels=(NODULE, MASS))])
    assert counts(dataset, [row("a", labels=(MASS, NODULE))]) == (0, 0, 1, 0)


def test_another_area_of_the_dataset_moves_images_without_changing_them(dataset: Dataset) -> None:
    store_images(dataset=dataset, rows=[row("a")])
    Dataset.objects.filter(pk=dataset.pk).update(area=AreaFactory(code="heart"))
    dataset.refresh_from_db()
    assert counts(dataset, [row("a")]) == (0, 0, 1, 0)
    assert Image.objects.get().profile.area.code == "heart"  # type: ignore[union-attr]
    assert_profiles_are_true()


def test_other_datasets_are_left_alone(dataset: Dataset) -> None:
    other = ImageFactory(source_id="a", labels=["nodule"])
    make_searchable()
    version = Dataset.objects.get(pk=other.dataset_id).version
    store_images(dataset=dataset, rows=[row("a"), row("b")])
    assert counts(dataset, [row("b")]) == (0, 0, 1, 1)
    assert Dataset.objects.get(pk=other.dataset_id).version == version
    assert other.image_labels.count() == 1
    assert_profiles_are_true()


# --- Removed images ---
def test_removed_images_are_deleted_with_their_labels(dataset: Dataset) -> None:
    store_images(dataset=dataset, rows=[row("a", labels=(NODULE,)), row("b", sex="F")])
    assert counts(dataset, [row("b", sex="F")]) == (0, 0, 1, 1)
    assert source_ids(dataset) == ["b"]
    assert not ImageLabel.objects.exists()
    assert list(ImageProfile.objects.values_list("sex", "num_images")) == [("F", 1)]
    dataset.refresh_from_db()
    assert dataset.num_images == 1


def test_a_removed_image_is_marked_and_kept_while_a_collection_holds_it(dataset: Dataset) -> None:
    rows = [row("a", labels=(NODULE,)), row("b"), row("c")]
    store_images(dataset=dataset, rows=rows)
    collection = hold_images(Image.objects.get(source_id="a"))

    assert counts(dataset, [row("c")]) == (0, 0, 1, 2)
    held = Image.objects.get(source_id="a")
    assert held.removed_at is not None
    assert held.profile is None
    assert held.image_labels.count() == 1
    dataset.refresh_from_db()
    assert (source_ids(dataset), dataset.num_images) == (["a", "c"], 1)

    before = row_versions()
    assert counts(dataset, [row("c")]) == (0, 0, 1, 0), "it is counted once"
    assert row_versions() == before

    assert counts(dataset, list(rows)) == (1, 1, 1, 0), "and may come back"
    held.refresh_from_db()
    assert held.removed_at is None
    assert_profiles_are_true()

    assert counts(dataset, [row("c")]) == (0, 0, 1, 2)
    collection.items.all().delete()
    assert counts(dataset, [row("c")]) == (0, 0, 1, 0)
    assert source_ids(dataset) == ["c"], "nobody holds it any more"


def test_an_image_whose_row_is_bad_is_not_removed(dataset: Dataset) -> None:
    store_images(dataset=dataset, rows=[row("a"), row("b"), row("c")])
    bad = BadRow(3, "age", "x", "No age.", source_id="b")
    report = store_images(dataset=dataset, rows=[row("a"), bad, row("c", sex="X")])
    assert (report.unchanged, report.rejected, report.removed) == (1, 2, 0)
    assert source_ids(dataset) == ["a", "b", "c"]
    dataset.refresh_from_db()
    assert dataset.num_images == 3
    assert_profiles_are_true()


# --- Bad rows ---
def test_a_bad_row_without_an_id_keeps_all_images(dataset: Dataset) -> None:
    store_images(dataset=dataset, rows=[row("a"), row("b"), row("c")])
    nameless = BadRow(3, "", "", "It is not in UTF-8. Save it as such.")
    report = store_images(dataset=dataset, rows=[row("a", sex="F"), nameless])
    assert (report.changed, report.removed, report.rejected, report.nameless) == (1, 0, 1, 1)
    assert source_ids(dataset) == ["a", "b", "c"]
    assert store_images(dataset=dataset, rows=[row("a", sex="F")]).removed == 2


def test_of_rows_with_one_id_the_first_wins(dataset: Dataset) -> None:
    rejected: list[BadRow] = []
    rows = [
        row("a", line=2, sex="F"),
        row("b", line=3),
        row("a", line=4, sex="M"),
        row("a", line=5),
    ]
    report = store_images(
        dataset=dataset, rows=rows, listeners=Listeners(on_reject=rejected.append)
    )
    assert (report.added, report.rejected) == (2, 2)
    assert Image.objects.get(source_id="a").sex == "F"
    assert [(bad.line, bad.column, bad.value) for bad in rejected] == [
        (4, "source_id", "a"), (5, "source_id", "a"),
    ]  # fmt: skip
    assert "line 2" in rejected[0].reason
    again = store_images(dataset=dataset, rows=rows)
    assert (again.unchanged, again.removed, again.rejected) == (2, 0, 2)


def make_bad(count: int) -> list[ImageRow | BadRow]:
    return [BadRow(line, "age", f"{line}?", "This is no age.") for line in range(1, count + 1)]


def test_a_few_bad_rows_are_reported_and_tolerated(dataset: Dataset) -> None:
    rejected: list[BadRow] = []
    rows = [*make_bad(100), row("a")]
    listeners = Listeners(on_reject=rejected.append)
    assert store_images(dataset=dataset, rows=rows, listeners=listeners).rejected == 100
    assert rejected == rows[:100]


def test_too_many_bad_rows_stop_the_import_and_nothing_changes(dataset: Dataset) -> None:
    store_images(dataset=dataset, rows=[row("a", sex="F")])
    before = row_versions()
    with pytest.raises(ImportStopped, match=r"101 rows cannot be read \(limit: 100\)") as stop:
        store_images(dataset=dataset, rows=[row("a", sex="M"), row("b"), *make_bad(101)])
    assert "line 1, age “1?”: This is no age." in str(stop.value)
    assert row_versions() == before


def test_bad_rows_may_be_a_share_of_a_large_table(dataset: Dataset) -> None:
    good = [row(str(number)) for number in range(20_000)]
    assert store_images(dataset=dataset, rows=[*make_bad(200), *good]).rejected == 200
    with pytest.raises(ImportStopped, match="203 rows"):
        store_images(dataset=dataset, rows=[*make_bad(203), *good])
    report = store_images(
        dataset=dataset, rows=[*make_bad(900), *good], limits=ImportLimits(max_share=0.05)
    )
    assert (report.rejected, report.unchanged) == (900, 20_000)


@pytest.mark.parametrize(
    ("num_rows", "limits"),
    [(None, ImportLimits(max_rejected=3)), (50, ImportLimits(max_share=0.0))],
)
def test_a_known_limit_stops_at_once(
    dataset: Dataset, num_rows: int | None, limits: ImportLimits
) -> None:
    read = 0

    def rows() -> Iterator[ImageRow | BadRow]:
        nonlocal read
        for bad in make_bad(1_000):
            read += 1
            yield bad

    with pytest.raises(ImportStopped):
        store_images(dataset=dataset, rows=rows(), num_rows=num_rows, limits=limits)
    assert read == (limits.max_rejected or 100) + 1


def test_duplicates_count_as_bad_rows(dataset: Dataset) -> None:
    with pytest.raises(ImportStopped, match="was kept"):
        store_images(dataset=dataset, rows=[row("same")] * 5, limits=ImportLimits(max_rejected=3))


def test_no_row_at_all_must_not_empty_a_dataset(dataset: Dataset) -> None:
    with pytest.raises(ImportStopped, match=r"has no rows.*right file"):
        store_images(dataset=dataset, rows=[])
    store_images(dataset=dataset, rows=[row("a")])
    with pytest.raises(ImportStopped, match="has no rows"):
        store_images(dataset=dataset, rows=[])
    with pytest.raises(ImportStopped, match=r"No row of “rays” can be read.*This is no age"):
        store_images(dataset=dataset, rows=make_bad(2))
    assert source_ids(dataset) == ["a"]


def test_an_error_of_the_source_leaves_the_old_state(dataset: Dataset) -> None:
    store_images(dataset=dataset, rows=[row("a")])
    before = row_versions()

    def rows() -> Iterator[ImageRow | BadRow]:
        yield row("b")
        raise OSError("The disk is gone.")

    with pytest.raises(OSError, match="disk is gone"):
        store_images(dataset=dataset, rows=rows())
    assert row_versions() == before


def test_the_database_still_proves_what_is_stored(dataset: Dataset) -> None:
    """Foreign keys and checks hold for what is imported as for all else."""
    store_images(dataset=dataset, rows=[full_row()])
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(IntegrityError), transaction.atomic():
        Image.objects.update(modality_id=10**9)
    with pytest.raises(IntegrityError), transaction.atomic():
        Image.objects.update(sha256="")


def test_the_planner_knows_of_the_rows_that_an_import_writes(dataset: Dataset) -> None:
    """With what it knew of an almost empty table, 6,000 rows took minutes."""
    with connection.cursor() as cursor:
        # ANALYZE estimates from a sample of the pages, and would find only those that other tests
        # have left behind without rows.
        cursor.execute("TRUNCATE catalog_image CASCADE")
        cursor.execute("ANALYZE catalog_image")
        store_images(dataset=dataset, rows=[row(str(number)) for number in range(500)])
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = 'catalog_image'::regclass")
        assert cursor.fetchone()[0] == 500


def test_an_import_looks_its_dataset_up_a_few_times_not_once_an_image(dataset: Dataset) -> None:
    with connection.cursor() as cursor:
        before = count_scans(cursor, "catalog_dataset")
        store_images(dataset=dataset, rows=[row(str(number)) for number in range(500)])
        assert count_scans(cursor, "catalog_dataset") - before < 100


def count_scans(cursor: CursorWrapper, table: str) -> int:
    """How often this transaction has looked into a table."""
    cursor.execute(
        "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_xact_user_tables WHERE relname = %s",
        [table],
    )
    found: int = cursor.fetchone()[0]
    return found
