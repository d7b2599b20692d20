"""The Imaging Data Commons in the catalog: what its index says, its dirt, and a second run."""

import tracemalloc
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest
from django.core.management import CommandError, call_command

from catalog.importers.idc import collections as idc
from catalog.importers.idc.collections import open_collections
from catalog.importers.idc.entry import clean_text
from catalog.importers.rows import BadRow, ImageRow, SourceError
from catalog.models import Dataset, Image
from catalog.tests.importers.idc_files import (
    COLLECTIONS,
    DOGS,
    DOGS_SERIES,
    LUNG,
    LUNG_DOI,
    LUNG_SERIES,
    SEG_DOI,
    SERIES,
    series,
    write_index,
)
from catalog.tests.profiles.test_profiles import assert_profiles_are_true
from vocab.lookup import find_terms

pytestmark = pytest.mark.django_db


@pytest.fixture
def index(tmp_path: Path, module_vocabularies: None) -> Path:
    return write_index(tmp_path / "index")


def import_idc(index: Path, **options: Any) -> str:
    out = StringIO()
    rejects = index / "rejects.csv"
    call_command("import_idc", index=index, rejects=rejects, stdout=out, stderr=out, **options)
    return out.getvalue()


def open_all(folder: Path, **options: Any) -> dict[str, Any]:
    found = open_collections(folder, find=find_terms, **options)
    return {each.entry["slug"]: each for each in found}


# --- Collections are datasets ---
def test_a_collection_becomes_a_dataset(index: Path) -> None:
    import_idc(index)

    dataset = Dataset.objects.get(slug="tiny_lung")
    assert dataset.title == "Tiny-Lung"
    assert dataset.source_url == f"https://doi.org/{LUNG_DOI}"
    assert dataset.doi == LUNG_DOI
    assert dataset.area
    assert dataset.area.code == "chest"
    assert {term.code for term in dataset.modalities.all()} == {"ct", "seg"}
    assert not dataset.task_types.exists(), "the outlines are others', of a later analysis"
    tags = {term.code for term in dataset.tags.all()}
    assert {"cancer", "clinical-data", "dicom", "masks", "open-access"} <= tags
    assert (dataset.num_images, dataset.size_mb) == (10, 12)


def test_a_dataset_keeps_the_release_that_its_addresses_are_of(tmp_path: Path, index: Path) -> None:
    import_idc(index)
    dataset = Dataset.objects.get(slug="tiny_lung")
    assert dataset.idc_release == "", "this index does not say"

    rows = [series(1, series_revised_idc_version=9), series(2, series_revised_idc_version=23)]
    dogs = [series(20, "tiny_dogs", series_revised_idc_version=25)]
    newer = write_index(tmp_path / "newer", dogs + rows)
    import_idc(newer, allow_removal=True)

    dataset.refresh_from_db()
    assert dataset.idc_release == "25", "of the whole index"
    assert "25" not in str(dataset.images.values_list("metadata_json", flat=True)[0])


def test_the_licence_is_that_of_the_images_not_of_what_others_made_of_them(index: Path) -> None:
    """Six segmentations under CC BY must not open four scans under CC BY-NC to commerce."""
    import_idc(index)

    dataset = Dataset.objects.get(slug="tiny_lung")
    assert dataset.license
    assert dataset.license.code == "cc-by-nc-3.0"
    scan, outline = Image.objects.filter(source_id__in=["1.2.826.1", "1.2.826.5"]).order_by(
        "source_id"
    )
    assert "license" not in scan.metadata_json, "it goes without saying"
    assert outline.metadata_json["license"] == "CC BY 4.0"
    assert outline.metadata_json["source_doi"] == SEG_DOI
    assert outline.metadata_json["analysis_result"] == "others"


def test_descriptions_and_citations_are_plain_text(index: Path) -> None:
    entry = open_all(index)["tiny_lung"].entry

    prose, facts = entry["description"].split("\n\n")
    assert prose == "Chest CT of H&E-proven lesions & nodules (https://example.org/a)."
    assert "Cancer types: Lung Cancer, Non-Cancer. Locations: Chest. Species: Human." in facts
    own, others = entry["citation"].split("\n\n")
    assert own.startswith("Doe, J., & Roe, R. (2015). Data From Tiny-Lung.")
    assert "Outlines of others" in others


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        (None, ""),
        ("age < 5 and > 3", "age < 5 and > 3"),
        ("a&amp;b &#8211; &lt;5", "a&b – <5"),
        ("?x=1&term=PROSTATEx", "?x=1&term=PROSTATEx"),
        ("<p>one</p>\n <br/>two", "one two"),
    ],
)
def test_text_is_cleaned_without_losing_what_only_looks_like_markup(
    dirty: str | None, clean: str
) -> None:
    assert clean_text(dirty) == clean


AREAS = [
    ("Chest", None, "chest"),
    ("Abdomen, Pelvis", None, "abdomen-pelvis"),
    ("Marrow, Bone", None, "bone"),
    ("Lung, Head-Neck", None, "multiple"),
    ("Various", "CHEST", "multiple"),
    ("Mesothelium", "LUNG", "lung"),
    (None, "OUTSIDE FIL", "liver"),
    (None, None, ""),
]


def test_the_area_is_the_stated_one_or_else_the_most_frequent_body_part(
    tmp_path: Path, module_vocabularies: None
) -> None:
    for locations, body_part, area in AREAS:
        rows = [series(number, BodyPartExamined=body_part) for number in range(3)]
        rows.append(series(4, BodyPartExamined="LIVER" if body_part else None))
        folder = write_index(tmp_path / "index", rows, [{**LUNG, "tumor_locations": locations}])

        assert open_all(folder)["tiny_lung"].entry["area"] == area, (locations, body_part)


def test_images_are_imported_into_the_shipped_entry_of_their_dataset(
    tmp_path: Path, module_vocabularies: None
) -> None:
    """lidc_idri ships with the product; older catalogs know it as lidc-idri."""
    Dataset.objects.create(slug="lidc-idri", title="LIDC-IDRI")
    lidc = {**LUNG, "collection_id": "lidc_idri", "collection_name": "LIDC-IDRI"}
    rows = [series(number, "lidc_idri", license_short_name="CC BY 3.0") for number in range(4)]
    import_idc(write_index(tmp_path / "index", rows, [lidc]))

    (dataset,) = Dataset.objects.all()
    assert (dataset.slug, dataset.title) == ("lidc_idri", "LIDC-IDRI")
    assert "Four radiologists" in dataset.description, "our words"
    assert "The count is" not in dataset.description, "which was of slices"
    assert "DICOM series" in dataset.description
    assert dataset.citation.startswith("Armato")
    assert "multi-reader" in {tag.code for tag in dataset.tags.all()}
    assert dataset.num_images == 4


def test_a_collection_without_a_description_is_imported(
    tmp_path: Path, module_vocabularies: None
) -> None:
    import_idc(write_index(tmp_path / "index", [series(1, "brand_new")], []))

    dataset = Dataset.objects.get()
    assert (dataset.slug, dataset.title, dataset.doi) == ("brand_new", "brand_new", LUNG_DOI)


# --- Series are images ---
def test_a_series_becomes_an_image(index: Path) -> None:
    import_idc(index)

    image = Image.objects.select_related("modality", "area").get(source_id="1.2.826.1")
    assert image.dataset.slug == "tiny_lung"
    assert image.remote_url == "s3://idc-open-data/0000-1/*"
    assert image.size_bytes == 1_234_567
    assert image.modality
    assert image.modality.code == "ct"
    assert (image.subject_id, image.sex, image.age_years) == ("tiny_lung-000", "F", 66)
    assert image.metadata_json == {
        "BodyPartExamined": "CHEST",
        "StudyInstanceUID": "1.2.826.9.1",
        "StudyDate": "2001-01-02",
        "instances": 120,
        "SOPClassUID": "CT Image Storage",
    }, "compact: what is not known is not there"
    assert not image.is_local


@pytest.mark.parametrize(
    ("raw", "years", "kept"),
    [
        (None, None, None),
        ("", None, None),
        ("066Y", 66, None),
        ("018M", 1.5, "018M"),
        ("042y", 42, "042y"),
        ("47", 47, "47"),
        ("N-A", None, "N-A"),
        ("155Y", None, "155Y"),
        # Phantoms and adults whose age was taken out, not newborns.
        ("000Y", None, "000Y"),
    ],
)
def test_an_age_is_parsed_or_its_text_kept(
    tmp_path: Path, raw: str | None, years: float | None, kept: str | None
) -> None:
    (row,) = open_all(write_index(tmp_path, [series(1, PatientAge=raw)]))["tiny_lung"].rows()

    assert row.age_years == years
    assert row.metadata.get("PatientAge") == kept


@pytest.mark.parametrize(
    ("raw", "sex", "kept"),
    [
        ("F", "F", None),
        ("M", "M", None),
        ("O", "O", None),
        ("U", "", None),
        (None, "", None),
        ("0000", "", "0000"),
        ("6657", "", "6657"),
    ],
)
def test_a_sex_is_parsed_or_its_text_kept(
    tmp_path: Path, raw: str | None, sex: str, kept: str | None
) -> None:
    (row,) = open_all(write_index(tmp_path, [series(1, PatientSex=raw)]))["tiny_lung"].rows()

    assert row.sex == sex
    assert row.metadata.get("PatientSex") == kept


def test_dirt_is_survived_and_reported(index: Path) -> None:
    report = import_idc(index)

    assert "area: TH CT CHEST WO C (1)" in report
    image = Image.objects.get(source_id="1.2.826.4")
    assert (image.sex, image.age_years, image.area) == ("", None, None)
    assert image.metadata_json["BodyPartExamined"] == "TH CT CHEST WO C"
    scout = Image.objects.get(source_id="1.2.826.3").metadata_json["SeriesDescription"]
    assert "\x00" not in scout
    assert "scout" in scout
    assert_profiles_are_true()


def test_a_series_without_a_uid_is_rejected_with_its_row(
    tmp_path: Path, module_vocabularies: None
) -> None:
    rows = [series(1), series(2, SeriesInstanceUID=None), *[series(n) for n in range(3, 14)]]
    folder = write_index(tmp_path / "index", rows)
    report = import_idc(folder)

    assert "12 added" in report
    assert "1 rejected" in report
    header, line = (folder / "rejects.csv").read_text().splitlines()
    assert header == "dataset,line,column,value,reason"
    assert line.startswith("tiny_lung,2,SeriesInstanceUID,,The series has no SeriesInstanceUID")


# --- Again, in part, and not at all ---
def test_a_second_run_changes_nothing_and_says_so(index: Path) -> None:
    import_idc(index)
    before = list(Dataset.objects.order_by("pk").values_list("slug", "updated_at", "version"))
    images = list(Image.objects.order_by("pk").values_list("pk", "updated_at"))

    report = import_idc(index)

    assert "2 datasets: 0 added, 0 changed, 11 unchanged, 0 removed" in report
    assert list(Dataset.objects.order_by("pk").values_list("slug", "updated_at", "version")) == (
        before
    )
    assert list(Image.objects.order_by("pk").values_list("pk", "updated_at")) == images


def test_a_newer_index_adds_changes_and_removes(index: Path) -> None:
    import_idc(index)
    rows = [series(1, PatientAge="067Y"), *LUNG_SERIES[2:], series(11)]
    write_index(index, DOGS_SERIES + rows)

    report = import_idc(index)

    assert "tiny_lung: 1 added, 1 changed, 8 unchanged, 1 removed" in report
    assert Image.objects.get(source_id="1.2.826.1").age_years == 67
    assert not Image.objects.filter(source_id="1.2.826.2").exists()
    assert_profiles_are_true()


def test_single_collections_can_be_chosen(index: Path) -> None:
    import_idc(index, collections="tiny_lung, ")

    assert [dataset.slug for dataset in Dataset.objects.all()] == ["tiny_lung"]


def test_an_unknown_collection_is_refused_with_what_may_be_meant(index: Path) -> None:
    with pytest.raises(CommandError, match=r"no collection “Tiny-Lungs”.*Did you mean tiny_lung"):
        import_idc(index, collections="tiny_dogs,Tiny-Lungs")

    assert not Dataset.objects.exists()


def test_a_dry_run_reports_and_leaves_nothing(index: Path) -> None:
    report = import_idc(index, dry_run=True)

    assert "2 datasets: 11 added" in report
    assert "dry run" in report
    assert not Dataset.objects.exists()


def test_one_bad_collection_does_not_hold_up_the_others(
    tmp_path: Path, module_vocabularies: None
) -> None:
    rows = [series(n, "bad", SeriesInstanceUID=None) for n in range(3)] + LUNG_SERIES
    folder = write_index(tmp_path / "index", rows)

    with pytest.raises(CommandError, match="1 of 2 datasets were not imported: bad"):
        import_idc(folder)

    assert [dataset.slug for dataset in Dataset.objects.all()] == ["tiny_lung"]


# --- Indexes that are not what they should be ---
def test_the_installed_package_is_found_without_running_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "idc_index_data"
    write_index(package)
    (package / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)

    assert idc.find_index() == package


def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])

    with pytest.raises(SourceError, match=r"pip install idc-index-data==25\.0\.5"):
        idc.find_index()


def test_a_table_that_is_not_sorted_by_collection_is_refused(
    tmp_path: Path, module_vocabularies: None
) -> None:
    write_index(tmp_path / "index", [series(1), *DOGS_SERIES, series(2)])

    with pytest.raises(CommandError, match="not sorted: the collection tiny_lung goes on at row 3"):
        import_idc(tmp_path / "index")


def test_missing_tables_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"There is no .*collections_index\.parquet"):
        open_all(tmp_path)
    write_index(tmp_path)
    path = tmp_path / "idc_index.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["Modality"]), path)
    with pytest.raises(SourceError, match="lacks the columns Modality"):
        open_all(tmp_path)
    path.write_bytes(b"PAR1 no table PAR1")
    with pytest.raises(SourceError, match="cannot be read as a Parquet table"):
        open_all(tmp_path)


def test_a_row_without_a_collection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="row 2 has no collection_id"):
        open_all(write_index(tmp_path, [series(1), series(2, collection_id=None)]))


# --- One pass, in small pieces ---
def read_uids(source: Any, count: int | None = None) -> list[str]:
    rows = source.rows()
    return [row.source_id for row, _ in zip(rows, range(count or 10**9), strict=False)]


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr("catalog.importers.idc.index.BATCH_ROWS", 7)
    rows = [series(n, name) for name, n in [(f"c{n // 10:02}", n) for n in range(100)]]
    return open_all(write_index(tmp_path, rows, []))


def test_every_collection_has_its_own_rows_wherever_the_batches_end(many: dict[str, Any]) -> None:
    for number, source in enumerate(many.values()):
        first = 10 * number
        assert read_uids(source) == [f"1.2.826.{n}" for n in range(first, first + 10)]
        assert source.num_rows == 10


def test_collections_can_be_left_half_read_skipped_and_read_again(many: dict[str, Any]) -> None:
    assert read_uids(many["c03"], 4)[-1] == "1.2.826.33"
    assert read_uids(many["c05"])[0] == "1.2.826.50"
    assert read_uids(many["c01"])[-1] == "1.2.826.19"
    assert len(read_uids(many["c05"])) == 10
    pairs = zip(many["c02"].rows(), many["c07"].rows(), strict=True)
    assert [int(b.source_id[8:]) - int(a.source_id[8:]) for a, b in pairs] == [50] * 10


def test_rows_know_their_place_in_the_table(many: dict[str, Any]) -> None:
    assert [row.line for row in many["c04"].rows()] == list(range(41, 51))


def test_reading_does_not_grow_with_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.importers.idc.index.BATCH_ROWS", 500)
    rows = [series(n) for n in range(10_000)]
    source = open_all(write_index(tmp_path, rows))["tiny_lung"]
    del rows
    tracemalloc.start()
    try:
        kinds = {type(row) for row in source.rows()}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert kinds == {ImageRow}
    assert BadRow not in kinds
    assert peak < 4_000_000, "ten thousand rows at once would take 15 MB"


def test_the_sample_has_the_columns_of_the_real_index() -> None:
    """What the importer asks for is in the schema that idc-index-data 25.0.5 documents."""
    assert set(idc._COLUMNS) <= set(SERIES.names)
    assert {"sources", "tumor_locations", "species"} <= set(COLLECTIONS.names)
    assert DOGS["collection_id"] == DOGS_SERIES[0]["collection_id"]
