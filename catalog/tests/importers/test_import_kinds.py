"""Imports know every modality of DICOM by its code, and say of what kinds the objects are."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from catalog.importers.dataset_entries import SHIPPED_DATASETS, read_datasets
from catalog.models import Dataset, ImageProfile
from catalog.tests.importers.idc_files import DOGS, LUNG, series, write_index

pytestmark = pytest.mark.django_db
CODES = ("CT", "SEG", "PLAN", "HD", "EPS", "FID", "SMR", "TEXTUREMAP", "DOC", "RESP", "EMG")


def import_idc(index: Path, **options: object) -> str:
    out = StringIO()
    rejects = index / "rejects.csv"
    call_command("import_idc", index=index, rejects=rejects, stdout=out, stderr=out, **options)
    return out.getvalue()


def test_without_vocabularies_nothing_is_imported(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="load_vocab"):
        import_idc(write_index(tmp_path / "index"))


def test_objects_of_every_kind_are_known_and_counted(tmp_path: Path, vocabularies: None) -> None:
    rows = [series(number, Modality=code) for number, code in enumerate(CODES)]
    rows += [series(90, "tiny_dogs", Modality="MR")]
    index = write_index(tmp_path / "index", rows, [DOGS, LUNG])
    dry = import_idc(index, dry_run=True)
    report = import_idc(index)
    for said in (dry, report):
        assert "unknown words" not in said
        _, _, lung = said.partition("tiny_lung: 11 added")
        assert "in all 1 picture or series; 10 other objects" in lung
        assert "in all 2 pictures and series; 10 other objects" in lung, "both datasets"
        assert "tiny_dogs: 1 added, 0 changed, 0 unchanged, 0 removed\n  in all" not in said
    dataset = Dataset.objects.get(slug="tiny_lung")
    assert dataset.sample_unit == "series"
    assert ImageProfile.objects.filter(dataset=dataset).count_kinds() == {
        "picture": 1, "segmentation": 1, "plan": 1, "waveform": 4, "annotation": 1, "report": 1,
        "other": 2,
    }  # fmt: skip


def test_shipped_datasets_say_what_they_count() -> None:
    units = {each["slug"]: each.get("sample_unit", "") for each in read_datasets(SHIPPED_DATASETS)}
    assert units["acdc"] == units["camus"] == "patient"
    assert (units["totalsegmentator"], units["camelyon16"]) == ("volume", "slide")
    assert units["echonet-dynamic"] == "video"
    assert units["medmnist-v2"] == "", "pictures and volumes together"
