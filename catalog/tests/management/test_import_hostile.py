"""``manage.py import_dataset`` reads what somebody made to do harm: at once, or with a refusal."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from catalog.models import Image
from catalog.tests.importers.folder_files import write_files

pytestmark = pytest.mark.django_db

TOML = """
[dataset]
slug = "mine"
title = "Mine"
[files]
folder = "."
path = "{file}"
[[table]]
path = "t.csv"
[image]
id = "{id}"
"""


@pytest.fixture
def home(own_folders: Path) -> Path:
    return own_folders / "datasets" / "mine"


def run(path: Path, *options: str) -> str:
    """What the command says on stdout."""
    out = StringIO()
    call_command("import_dataset", str(path), *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def refuse(path: Path, *options: str) -> str:
    """Why the command refuses."""
    with pytest.raises(CommandError) as raised:
        run(path, *options)
    return str(raised.value)


@contextmanager
def in_few_seconds(seconds: float = 4) -> Iterator[None]:
    before = time.process_time()
    yield
    assert time.process_time() - before < seconds


@pytest.mark.parametrize(
    "name",
    ["1" * 24 + "a", "n" + " 1" * 9_000 + "a", "n" + " x y" * 6_000 + "z"],
    ids=["digits", "numbers", "letters"],
)
def test_names_of_columns_are_judged_at_once(home: Path, name: str) -> None:
    """Each digit more would double the time, which was minutes from 30 on."""
    table = f"id,file,{name},Patient Name\na,a.png,x,Jane Doe\n"
    write_files(home, {"t.csv": table.encode(), "dataset.toml": TOML.encode()})

    with in_few_seconds():
        said = run(home)

    assert "columns left out, as they identify people: Patient Name" in said
    assert set(Image.objects.get().metadata_json) == {"file", name}


def test_an_object_of_very_many_keys_is_one_bad_row(home: Path) -> None:
    lines = [
        {"id": "a", "more": {f"key number {n}": {} for n in range(120_000)}},
        {"id": "b", "more": [{"site": "x", "Patient Name": "Jane Doe"}] * 4_000},
    ]
    table = "\n".join(map(json.dumps, lines))
    toml = TOML.replace("t.csv", "t.jsonl").replace('path = "{file}"', "")
    write_files(home, {"t.jsonl": table.encode(), "dataset.toml": toml.encode()})

    with in_few_seconds(8):
        said = run(home)

    rejected = (home / "rejects.csv").read_text()
    assert "The objects in “more” have more than 10,000 keys." in rejected
    assert "1 added" in said
    assert "Jane Doe" not in str(Image.objects.get().metadata_json)
