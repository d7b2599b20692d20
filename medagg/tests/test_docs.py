"""docs/db-schema.md and its diagram say what the models say, no more and no less."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db.models import BaseConstraint, Index

from medagg.management.commands.draw_schema import DIAGRAM
from medagg.schema_diagram import Table
from medagg.schema_diagram.reading import read_models, read_tables
from medagg.tests.schema_document import read_documented_fields

DOCUMENT = Path(settings.BASE_DIR, "docs", "db-schema.md")
# The one constraint of a vocabulary that its sisters do not have.
ONE_OF_ITS_KIND = "modalityalias_once_a_term"
TABLES = {table.name: table for table in read_tables()}


@pytest.fixture(scope="module")
def text() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_document_lists_exactly_the_fields_of_the_model(text: str, table: Table) -> None:
    documented = read_documented_fields(text, TABLES).get(table.name, {})
    real = {field.name: field.words for field in table.fields}

    missing, gone = real.keys() - documented.keys(), documented.keys() - real.keys()
    assert not missing, f"docs/db-schema.md: add {sorted(missing)} to the table of {table.name}"
    assert not gone, f"docs/db-schema.md: {table.name} no longer has {sorted(gone)}"
    wrong = {name: words for name, words in real.items() if documented[name] != words}
    assert not wrong, f"docs/db-schema.md: types of {table.name} have changed to {wrong}"


def test_every_constraint_and_index_is_explained(text: str) -> None:
    unknown = sorted(name for name in _constraint_names() if f"`{name}`" not in text)

    assert not unknown, f"docs/db-schema.md: say what these are for: {unknown}"


def test_no_constraint_or_index_is_explained_that_is_gone(text: str) -> None:
    # "(`name`)" after what a constraint proves, "- `name`:" in a list, or the row of an index.
    proofs = re.findall(r"(?:\(|^- )`([a-z0-9_*]+)`(?:\)|:)", text, re.MULTILINE)
    indexes = re.findall(r"^\| `([a-z0-9_*]+)` \|", _section(text, "Indexes"), re.MULTILINE)

    gone = {*proofs, *indexes} - set(_constraint_names())

    assert proofs
    assert indexes
    assert not gone, f"docs/db-schema.md explains what is not in the models: {sorted(gone)}"


def _section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]


def _constraint_names() -> Iterable[str]:
    """Names as the document writes them: ``*`` where each of several models has its own."""
    for model in read_models():
        named: list[Index | BaseConstraint] = [*model._meta.indexes, *model._meta.constraints]
        for each in named:
            prefix = f"{model._meta.model_name}_"
            is_shared = model._meta.app_label == "vocab" and each.name != ONE_OF_ITS_KIND
            yield f"*_{each.name.removeprefix(prefix)}" if is_shared else each.name


def test_the_diagram_stands_at_the_top(text: str) -> None:
    first_section = text.index("\n## ")

    assert "(diagrams/schema.svg)" in text[:first_section]


def test_links_between_documents_lead_somewhere() -> None:
    pages = [*Path(settings.BASE_DIR).glob("*.md"), *Path(settings.BASE_DIR, "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(settings.BASE_DIR)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:")
        if not (page.parent / target).exists()
    ]

    assert not broken, f"links to files that do not exist: {broken}"


def test_the_committed_diagram_is_fresh() -> None:
    call_command("draw_schema", "--check")


def test_a_stale_or_missing_diagram_is_told_what_to_do(tmp_path: Path) -> None:
    stale = tmp_path / "schema.svg"
    stale.write_bytes(DIAGRAM.read_bytes().replace(b"subject_id", b"patient_id"))

    for file in (stale, tmp_path / "missing.svg"):
        before = sorted(tmp_path.iterdir())
        with pytest.raises(CommandError, match=r"run manage\.py draw_schema"):
            call_command("draw_schema", "--check", "--output", str(file))
        assert sorted(tmp_path.iterdir()) == before


# --- The reader of the document, on a page of its own ---
PAGE = """
# A page
| `not_a_field` | `text` | before any heading |
### Tag, Label
| field | type | meaning |
| --- | --- | --- |
| `code` | `varchar(64)` | unique |
| `area` | `bigint?` → AnatomicalArea | a key |
### Tag
| `datasets` | M–N Dataset | many |
## Indexes
| `tag_by_code` | `Tag.code` | an index |
"""


def test_fields_are_read_below_the_headings_that_name_models() -> None:
    common = {"code": "varchar(64)", "area": "bigint?"}

    assert read_documented_fields(PAGE, {"Tag": 0, "Label": 0}) == {
        "Tag": {**common, "datasets": "M–N Dataset"},
        "Label": common,
    }
