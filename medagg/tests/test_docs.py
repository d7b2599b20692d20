"""The documents: links and commands lead somewhere, and docs/db-schema.md fits the models."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from django.conf import LazySettings, settings
from django.core.management import CommandError, call_command, get_commands
from django.db.models import BaseConstraint, Index, Model

from medagg.management.commands.draw_schema import draw_schema, list_models, short_type

BASE_DIR = Path(settings.BASE_DIR)
DOCUMENT = BASE_DIR / "docs" / "db-schema.md"
MODELS = {model.__name__: model for model in list_models()}
# The one constraint of a vocabulary that its sisters do not have.
ONE_OF_ITS_KIND = "modalityalias_once_a_term"


@pytest.fixture(scope="module")
def text() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MODELS)
def test_the_document_lists_exactly_the_fields_of_the_model(text: str, name: str) -> None:
    real = _real_fields(MODELS[name])
    documented = _documented_fields(text, name)

    missing, gone = real.keys() - documented.keys(), documented.keys() - real.keys()
    assert not missing, f"docs/db-schema.md: add {sorted(missing)} to the table of {name}"
    assert not gone, f"docs/db-schema.md: {name} no longer has {sorted(gone)}"
    wrong = {field: type_ for field, type_ in real.items() if documented[field] != type_}
    assert not wrong, f"docs/db-schema.md: types of {name} have changed to {wrong}"


def _real_fields(model: type[Model]) -> dict[str, str]:
    options = model._meta
    columns = {
        field.name: f"{short_type(field)}{'?' if field.null else ''}"
        for field in options.concrete_fields
    }
    many = {
        field.name: f"M–N {field.remote_field.model.__name__}" for field in options.many_to_many
    }
    return columns | many


def _documented_fields(text: str, model: str) -> dict[str, str]:
    """Name and type of each row in the sections whose heading names the model."""
    sections = re.findall(r"^#+ (.+)\n((?:(?!#).*\n)*)", text, re.MULTILINE)
    rows = "".join(body for heading, body in sections if model in heading.split(", "))
    return dict(re.findall(r"^\| `(\w+)` \| `?(M–N \w+|[^`|]+)", rows, re.MULTILINE))


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
    for model in list_models():
        named: list[Index | BaseConstraint] = [*model._meta.indexes, *model._meta.constraints]
        for each in named:
            prefix = f"{model._meta.model_name}_"
            is_shared = model._meta.app_label == "vocab" and each.name != ONE_OF_ITS_KIND
            yield f"*_{each.name.removeprefix(prefix)}" if is_shared else each.name


def test_links_between_documents_lead_somewhere() -> None:
    pages = [*BASE_DIR.glob("*.md"), *Path(BASE_DIR, "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(BASE_DIR)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:")
        if not (page.parent / target).exists()
    ]

    assert not broken, f"links to files that do not exist: {broken}"


def test_commands_in_the_documents_exist() -> None:
    pages = [*BASE_DIR.glob("*.md"), *Path(BASE_DIR, "docs").glob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    lists = re.findall(r"(?:run --rm manage|manage\.py) ([a-z_]+(?:\s+·\s+[a-z_]+)*)", text)
    commands = {name for names in lists for name in re.findall(r"\w+", names)}
    targets = set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", text, re.MULTILINE))
    makefile = Path(BASE_DIR, "Makefile").read_text(encoding="utf-8")

    assert {"up", "createsuperuser", "check_catalog"} <= commands
    assert commands - get_commands().keys() == set()
    assert "run" in targets
    assert targets - set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE)) == set()


# --- The diagram ---
def test_the_diagram_shows_columns_with_their_keys_and_relations_with_their_cardinality() -> None:
    lines = {line.strip() for line in draw_schema().splitlines()}

    assert {f"{name} {{" for name in ("User", *MODELS)} <= lines
    assert {
        "uuid uuid UK",
        "varchar(150) username UK",
        "varchar(160) key UK",
        'bigint modality_id FK "NULL"',
        "Image }o--|| Dataset : dataset",
        "Dataset }o--o| License : license",
        "Dataset }o--o{ Tag : tags",
        "CollectionItem }o--|| Image : image",
        "Collection }o--|| User : user",
    } <= lines


def test_the_committed_diagram_is_fresh() -> None:
    call_command("draw_schema", "--check")


def test_a_stale_diagram_is_noticed_and_drawn_again(tmp_path: Path, settings: LazySettings) -> None:
    settings.BASE_DIR = tmp_path
    page, diagram = tmp_path / "docs" / "db-schema.md", tmp_path / "docs" / "diagrams/schema.mmd"
    diagram.parent.mkdir(parents=True)
    page.write_text(DOCUMENT.read_text(encoding="utf-8"), encoding="utf-8")
    call_command("draw_schema")

    for file in (page, diagram):
        fresh = file.read_text(encoding="utf-8")
        stale = fresh.replace("subject_id\n", "patient_id\n", 1)
        assert stale != fresh
        file.write_text(stale, encoding="utf-8")
        with pytest.raises(CommandError, match=r"run manage\.py draw_schema"):
            call_command("draw_schema", "--check")
        assert file.read_text(encoding="utf-8") == stale

        call_command("draw_schema")
        assert file.read_text(encoding="utf-8") == fresh
