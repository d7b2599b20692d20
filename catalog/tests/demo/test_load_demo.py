"""The demo catalog: loaded whole, true to the files, and the same the second time."""

import hashlib
import zlib
from io import StringIO

import pydicom
import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from catalog.demo.phantoms.chest import iter_phantoms
from catalog.importers.dataset_entries import SHIPPED_DATASETS, read_datasets
from catalog.models import Dataset, Image
from catalog.tests.factories import dataset_folder
from catalog.tests.profiles.test_profiles import assert_profiles_are_true

pytestmark = [pytest.mark.django_db, pytest.mark.long]


def load_demo() -> str:
    out = StringIO()
    call_command("load_demo", stdout=out)
    return out.getvalue()


def test_the_demo_catalog_is_true_and_loading_it_again_undoes_nothing(vocabularies: None) -> None:
    """One long test, because drawing the phantoms takes a while."""
    report = load_demo()
    check_published_datasets()
    check_phantoms()
    check_all_phantoms_have_the_same_bytes_on_every_machine()
    check_pydicom_samples(report)
    assert_profiles_are_true()

    dataset = Dataset.objects.get(slug="synthetic-chest-phantoms")
    dataset.title, dataset.is_active = "Our phantoms", False
    dataset.save()
    damaged = dataset_folder(dataset) / "subject-001/subject-001-01.png"
    content = damaged.read_bytes()
    damaged.write_bytes(b"damaged")

    before = dict(Image.objects.values_list("pk", "sha256"))
    again = load_demo()
    assert "datasets: 0 added" in again
    assert "pydicom-samples: 0 added, 0 changed" in again
    assert "synthetic-chest-phantoms: 0 added, 1 changed" in again, "only the file that was mended"
    assert damaged.read_bytes() == content
    assert dict(Image.objects.values_list("pk", "sha256")) == before
    dataset.refresh_from_db()
    assert (dataset.title, dataset.is_active) == ("Our phantoms", False)


def check_published_datasets() -> None:
    assert Dataset.objects.count() >= 900
    local = ("pydicom-samples", "synthetic-chest-phantoms")
    for dataset in Dataset.objects.exclude(slug__in=local):
        assert dataset.description, dataset
        assert not dataset.source_url or "://" in dataset.source_url, dataset
        assert not dataset.survey or dataset.imported_json["survey"], dataset
    written = [entry["slug"] for entry in read_datasets(SHIPPED_DATASETS)]
    for dataset in Dataset.objects.filter(slug__in=written):
        assert dataset.source_url.startswith("https://"), dataset
        assert dataset.num_images > 0, dataset
        assert dataset.license, dataset
        assert dataset.modalities.exists(), dataset


def check_phantoms() -> None:
    phantoms = Image.objects.filter(dataset__slug="synthetic-chest-phantoms")
    assert phantoms.count() >= 600
    assert 100 < phantoms.values("subject_id").distinct().count() < phantoms.count() / 2
    assert not phantoms.filter(image_labels=None).exists()
    assert set(phantoms.values_list("view__code", flat=True)) == {"ap", "pa"}
    assert Dataset.objects.get(slug="synthetic-chest-phantoms").is_synthetic
    for image in phantoms.select_related("dataset").order_by("sha256")[:50]:
        path = dataset_folder(image.dataset) / image.file_path
        content = path.read_bytes()
        assert image.sha256 == hashlib.sha256(content).hexdigest()
        assert (image.crc32, image.size_bytes) == (zlib.crc32(content), len(content))
        assert image.mtime_ns == path.stat().st_mtime_ns


def check_all_phantoms_have_the_same_bytes_on_every_machine() -> None:
    folder = dataset_folder(Dataset.objects.get(slug="synthetic-chest-phantoms"))
    whole, size = hashlib.sha256(), 0
    for phantom in iter_phantoms():
        content = (folder / phantom.file_name).read_bytes()
        whole.update(content)
        size += len(content)
    assert whole.hexdigest() == "a8c207c1ec7a2ddab851d48d450a88ae79faa840977819c3d6c6ded87992c387"
    assert size < 30_000_000


def check_pydicom_samples(report: str) -> None:
    """What the headers say is what the catalog says; what cannot be read is listed."""
    assert "skipped: test_files/rtplan.dcm" in report, "an object without an image"
    assert "skipped: test_files/ExplVR_BigEndNoMeta.dcm" in report, "a file without a header"
    samples = Image.objects.filter(dataset__slug="pydicom-samples")
    assert samples.count() >= 100
    for image in samples.select_related("modality", "dataset"):
        path = dataset_folder(image.dataset) / image.file_path
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert (image.width, image.height) == (header.Columns, header.Rows), path
        code = image.modality.code if image.modality else ""
        assert code == str(header.get("Modality") or "").lower(), path
        assert image.sex == (header.get("PatientSex") or ""), path
    head = Image.objects.get(source_id="test_files/J2K_pixelrep_mismatch.dcm")
    assert (head.area.code, head.age_years) == ("head", 76)  # type: ignore[union-attr]
    assert set(samples.exclude(view=None).values_list("view__code", flat=True)) == {"ap", "ll"}
    named = samples.get(source_id="test_files/CT_small.dcm")
    assert "PatientName" in (named.identifying or [])
    assert Dataset.objects.get(slug="pydicom-samples").identifying["files"] > 50
    stored = str(list(samples.values_list("metadata_json", flat=True)))
    assert "PatientName" not in stored
    assert "InstitutionName" not in stored


def test_a_folder_that_cannot_be_written_is_named(
    vocabularies: None, settings: LazySettings, tmp_path: object
) -> None:
    settings.DATASET_ROOTS = [settings.DATASET_ROOTS[0] / "file" / "below"]
    settings.DATASET_ROOTS[0].parent.write_text("a file stands in the way")
    with pytest.raises(CommandError, match="MEDAGG_DATASET_ROOTS"):
        load_demo()
    assert not Dataset.objects.exists()
