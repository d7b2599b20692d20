"""Reads and writes ``data/open-datasets.toml``: entries, relations, rows that are no dataset."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_HEADER = """\
# Facts of open medical-imaging datasets, and how these are related. Read docs/open-datasets.md.
# Most are from the survey Project Imaging-X (github.com/uni-medical/Project-Imaging-X, index of
# April 2026, MIT licence), looked through and corrected where papers or publishers say otherwise.
# What is not known for sure is left out. `rows` are the names in the survey. Correct entries here;
# `manage.py merge_survey` adds what is new in a newer survey, and writes this file sorted again.
"""
_WIDTH = 100
_KEYS = (
    "slug", "title", "source_url", "year", "area", "other_areas", "modalities", "dimensions",
    "task_types", "labels", "tags", "access", "license", "has_labels", "num_images",
    "is_num_rounded", "sample_unit", "size_mb", "parts", "is_synthetic", "is_featured",
    "is_unconfirmed", "doi", "citation", "survey", "rows",
)  # fmt: skip
_RELATION_KEYS = ("dataset", "kind", "other", "source")
_OMISSION_KEYS = ("rows", "reason")


@dataclass(slots=True)
class EntryFile:
    """The tables of the file; ``omissions`` name rows of the survey that are no dataset."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    relations: list[dict[str, Any]] = field(default_factory=list)
    omissions: list[dict[str, Any]] = field(default_factory=list)


def read_entry_file(path: Path) -> EntryFile:
    """Raises OSError and tomllib.TOMLDecodeError."""
    with path.open("rb") as file:
        tables = tomllib.load(file)
    return EntryFile(tables["dataset"], tables.get("relation", []), tables.get("omission", []))


def write_entry_file(path: Path, content: EntryFile) -> None:
    """All of the file, in a fixed order, so that equal contents make equal files."""
    path.write_text("".join(_render(content)), encoding="utf-8")


def _render(content: EntryFile) -> Iterator[str]:
    yield _HEADER
    for entry in sorted(content.entries, key=lambda each: str(each["slug"])):
        yield from _render_table("dataset", _KEYS, entry)
    for relation in sorted(content.relations, key=lambda each: [each[k] for k in _RELATION_KEYS]):
        yield from _render_table("relation", _RELATION_KEYS, relation)
    for omission in sorted(content.omissions, key=lambda each: each["rows"]):
        yield from _render_table("omission", _OMISSION_KEYS, omission)


def _render_table(name: str, keys: Sequence[str], table: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n[[{name}]]\n"
    if unknown := table.keys() - set(keys):
        raise ValueError(f"{name} has a key that has no place: {', '.join(sorted(unknown))}")
    for key in keys:
        if key in table:
            yield _render_key(key, table[key])


def _render_key(key: str, value: Any) -> str:
    line = f"{key} = {_write(value)}\n"
    if not isinstance(value, (list, tuple)) or len(line) <= _WIDTH:
        return line
    items = "".join(f"    {_write(each)},\n" for each in value)
    return f"{key} = [\n{items}]\n"


def _write(value: Any) -> str:
    """A basic string of TOML is written as one of JSON, but that it may not have a plain DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
