"""What `make catalog` runs: vocabularies, entries, X-ray tables and the Imaging Data Commons."""

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from catalog.importers import shipped
from catalog.importers.dataset_entries import SHIPPED_DATASETS, read_datasets
from catalog.importers.tables.source import SHIPPED_TABLES
from catalog.management.commands import load_catalog
from catalog.management.commands.load_catalog import find_tables, open_tables
from catalog.models import Dataset, Image
from catalog.tests.importers.idc_files import LUNG, series, write_index
from catalog.tests.profiles.test_profiles import assert_profiles_are_true
from vocab.models import Modality

pytestmark = [pytest.mark.django_db, pytest.mark.long]

# Two publishers' notations: 1/0/-1 in columns, and one row a mask.
CHEXPERT_LABELS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
CHEXPERT = [
    {
        "Path": f"CheXpert-v1.0-small/train/patient0000{n}/study1/view1_frontal.jpg",
        "Sex": sex,
        "Age": age,
        "Frontal/Lateral": "Frontal",
        "AP/PA": "AP",
        **dict.fromkeys(CHEXPERT_LABELS, ""),
        "Pleural Effusion": effusion,
    }
    for n, sex, age, effusion in [(1, "Female", 68, "1.0"), (2, "Male", 0, "-1.0")]
]
SIIM = [
    {"ImageId": "1.2.276.1", " EncodedPixels": "-1"},
    {"ImageId": "1.2.276.2", " EncodedPixels": "387620 23 996 33"},
]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Both packages, unpacked and small: of the shipped tables two."""
    tables = tmp_path / "data"
    tables.mkdir()
    write_csv(tables / "chexpert_train.csv", CHEXPERT)
    write_csv(tables / "siim-pneumothorax-train-rle.csv", SIIM)
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for name in ("chexpert.toml", "siim-acr-pneumothorax.toml"):
        (shipped / name).write_bytes((SHIPPED_TABLES / name).read_bytes())
    monkeypatch.setattr(load_catalog, "SHIPPED_TABLES", shipped)
    lidc = {**LUNG, "collection_id": "lidc_idri", "collection_name": "LIDC-IDRI"}
    index = write_index(tmp_path / "index", [series(n, "lidc_idri") for n in range(5)], [lidc])
    return {"index": index, "tables": tables, "rejects": tmp_path / "rejects.csv"}


@pytest.fixture
def few_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the shipped entries only those that the packages fill: all of them take a while."""
    filled = ("chexpert", "siim-acr-pneumothorax", "lidc_idri")
    few = [each for each in read_datasets(SHIPPED_DATASETS) if each["slug"] in filled]
    monkeypatch.setattr(shipped, "read_shipped_entries", lambda: few)


def load(options: dict[str, Any], **more: Any) -> str:
    out = StringIO()
    call_command("load_catalog", stdout=out, stderr=out, **options, **more)
    return out.getvalue()


def test_an_empty_database_becomes_a_catalog_and_again_stays_one(
    packages: dict[str, Any], client: Client
) -> None:
    report = load(packages)

    entries = Dataset.objects.count()
    assert entries >= 900, "the shipped entries and no second lidc_idri"
    assert dict(Dataset.objects.exclude(images=None).values_list("slug", "num_images")) == {
        "chexpert": 2,
        "siim-acr-pneumothorax": 2,
        "lidc_idri": 5,
    }
    assert "3 datasets: 9 added" in report
    assert f"The catalog has {entries} datasets and 9 images." in report
    assert "/images/" in report
    assert_profiles_are_true()
    assert b"9 images" in client.get("/images/").content

    again = load(packages)

    assert "dataset entries: 0 added" in again
    assert "3 datasets: 0 added, 0 changed, 9 unchanged, 0 removed" in again
    assert Dataset.objects.count() == entries


@pytest.mark.usefixtures("few_entries")
def test_one_part_can_be_loaded_alone(packages: dict[str, Any]) -> None:
    load(packages, only="tables")
    assert set(Image.objects.values_list("dataset__slug", flat=True)) == (
        {"chexpert", "siim-acr-pneumothorax"}
    )

    assert "chexpert:" not in load(packages, only="idc")
    assert Image.objects.filter(dataset__slug="lidc_idri").count() == 5


@pytest.mark.usefixtures("few_entries")
def test_a_dry_run_reports_even_on_an_empty_database_and_leaves_it_so(
    packages: dict[str, Any],
) -> None:
    report = load(packages, dry_run=True)

    assert "3 datasets: 9 added" in report
    assert "dry run" in report
    assert not Dataset.objects.exists()
    assert not Modality.objects.exists()


@pytest.mark.usefixtures("few_entries")
def test_a_missing_table_is_named_and_the_others_are_loaded(packages: dict[str, Any]) -> None:
    (packages["tables"] / "chexpert_train.csv").unlink()

    with pytest.raises(CommandError, match="1 of 3 datasets were not imported: chexpert"):
        load(packages)

    assert Image.objects.count() == 7


@pytest.mark.usefixtures("few_entries")
def test_a_table_that_an_entry_does_not_exist_for_leaves_none_behind(
    packages: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "shipped" / "brand-new.toml").write_text('[dataset]\nslug = "brand-new"\n')

    with pytest.raises(CommandError, match="brand-new"):
        load(packages)

    assert not Dataset.objects.filter(slug="brand-new").exists()


def test_every_shipped_table_has_an_entry_that_it_fills(tmp_path: Path, vocabularies: None) -> None:
    load_catalog.Command(stdout=StringIO())._load_entries()
    slugs = [each.entry["slug"] for each in open_tables(tmp_path)]

    assert slugs == [path.stem for path in sorted(SHIPPED_TABLES.glob("*.toml"))]
    assert Dataset.objects.filter(slug__in=slugs).count() == len(slugs)


def test_the_tables_are_found_without_running_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "torchxrayvision"
    package.mkdir()
    (package / "__init__.py").write_text("import torch")
    monkeypatch.syspath_prepend(tmp_path)

    assert find_tables() == package / "data"


@pytest.mark.usefixtures("few_entries")
def test_missing_packages_are_named_with_how_to_get_them(
    packages: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [])

    with pytest.raises(CommandError, match=r"make catalog.*--no-deps torchxrayvision==1\.5\.7"):
        load({**packages, "tables": None})
    with pytest.raises(CommandError, match=r"pip install idc-index-data==25\.0\.5"):
        load({**packages, "index": None})
