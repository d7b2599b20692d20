"""A general word of a table is a label of one part of the body only in images of that part."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from catalog.models import Dataset, ImageLabel
from catalog.tests.importers.folder_files import make_picture, write_files
from vocab.tests.shipped import save_shipped_vocabularies

pytestmark = pytest.mark.django_db

DESCRIPTION = """\
[dataset]
slug = "signs"
title = "Signs"
{dataset}
[[table]]
path = "signs.csv"
[image]
id = "{{id}}"
{image}
[[labels]]
words = "{{sign}}"
{labels}
"""
# By the area of an image and its word: what is stored.
MEANT = {
    ("brain", "hemorrhage"): ("Intracranial hemorrhage", "positive"),
    ("head", "Haemorrhage"): ("Intracranial hemorrhage", "positive"),  # the brain is part of it
    ("eye", "hemorrhage"): ("hemorrhage", "positive"),  # part of the head, too
    ("chest", "Edema"): ("Pulmonary edema", "positive"),
    ("lung", "no edema"): ("Pulmonary edema", "negative"),
    ("eye", "no edema"): ("no edema", "positive"),
    ("", "edema"): ("edema", "positive"),
    ("whole-body", "edema"): ("edema", "positive"),
    ("heart", "effusion"): ("effusion", "positive"),
    ("teeth", "cavity"): ("cavity", "positive"),
    ("abdomen", "cecum"): ("cecum", "positive"),
    ("liver", "hemangioma"): ("hemangioma", "positive"),
    ("skin", "hemangioma"): ("Vascular lesion", "positive"),
    ("kidney", "Pleural effusion"): ("Pleural effusion", "positive"),  # a name says it
}


@pytest.fixture
def home(own_folders: Path) -> Path:
    save_shipped_vocabularies()
    return own_folders / "datasets"


def run(*arguments: object) -> str:
    out = StringIO()
    call_command("import_dataset", *map(str, arguments), stdout=out, stderr=StringIO())
    return out.getvalue()


def import_table(
    home: Path, table: str, *, dataset: str = "", image: str = "", labels: str = ""
) -> str:
    text = DESCRIPTION.format(dataset=dataset, image=image, labels=labels)
    write_files(home, {"dataset.toml": text.encode(), "signs.csv": table.encode()})
    return run(home)


def stored() -> list[tuple[str, str]]:
    given = ImageLabel.objects.order_by("image__source_id")
    return list(given.values_list("label__name", "finding"))


def test_the_area_of_each_image_decides_what_its_words_mean(home: Path) -> None:
    rows = [f"{n:02},{area},{word}\n" for n, (area, word) in enumerate(MEANT)]
    said = import_table(home, f"id,area,sign\n{''.join(rows)}", image='area = "{area}"')
    assert stored() == list(MEANT.values())
    assert "\n    Haemorrhage: Intracranial hemorrhage\n" in said.partition("of another name")[2]
    _, _, elsewhere = said.partition("of one area only, and were not read as it")
    assert "state the `area` of the dataset" in elsewhere
    assert "\n    hemorrhage: Intracranial hemorrhage in images of Brain\n" in elsewhere
    assert "\n    no edema: Pulmonary edema in images of Lung\n" in elsewhere
    assert "\n    Pleural" not in elsewhere


@pytest.mark.parametrize(
    ("area", "word", "name"),
    [("eye", "hemorrhage", "hemorrhage"), ("head", "hemorrhage", "Intracranial hemorrhage")],
)
def test_else_it_is_the_area_of_the_dataset(home: Path, area: str, word: str, name: str) -> None:
    import_table(home, f"id,sign\na,{word}\n", dataset=f'area = "{area}"')
    assert stored() == [(name, "positive")]


def test_a_word_is_read_anew_when_the_area_is_stated_or_it_is_renamed(home: Path) -> None:
    table = "id,sign\na,edema\n"
    import_table(home, table)
    assert stored() == [("edema", "positive")]
    assert "1 changed" in import_table(home, table, dataset='area = "chest"')
    assert stored() == [("Pulmonary edema", "positive")]
    import_table(home, table, dataset='area = "eye"')
    assert stored() == [("edema", "positive")]
    rename = 'rename = { "edema" = "Diabetic macular edema" }'
    said = import_table(home, table, dataset='area = "eye"', labels=rename)
    assert stored() == [("Diabetic macular edema", "positive")]
    assert "edema" not in said


def test_so_are_class_folders(home: Path) -> None:
    write_files(home / "fundus", {"hemorrhage/1.png": make_picture(8, 6)})
    assert "Intracranial hemorrhage in images of Brain" in run(home / "fundus", "--area", "eye")
    assert stored() == [("hemorrhage", "positive")]


def test_a_label_of_a_dataset_is_no_other_areas(home: Path) -> None:
    with pytest.raises(CommandError, match=r"edema in images of Lung only\. Write “pulmo"):
        import_table(home, "id,sign\na,x\n", dataset='area = "eye"\nlabels = ["Edema"]')
    import_table(home, "id,sign\na,x\n", dataset='area = "chest"\nlabels = ["Edema"]')
    assert [label.code for label in Dataset.objects.get().labels.all()] == ["pulmonary-edema"]
