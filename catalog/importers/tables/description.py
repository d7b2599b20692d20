"""The file `dataset.toml`: what a dataset is, where its files are, how its tables map. Pure.

The files in `catalog/data/tables/` describe real datasets and explain each key. In short:

    [dataset]      slug, and the fields of `entries.py`; of a shipped slug the rest is known
    [files]        folder, path, extensions, anywhere
    [[table]]      path, format, encoding, delimiter, header, skip, member, optional
    [[join]]       the same, with key and to: columns from a second table
    [image]        id, subject, sex, age, born, studied, modality, area, license, view, width, …
    [[labels]]     words, separator, list … or columns, positive, negative, uncertain …
    [many]         where several rows describe one image: adjacent, gather, columns, unless
    [metadata]     what else is kept of a row: keep, drop, only, numbers, lists, add

A value is a template: text with columns in braces. Of a list of templates the first that is not
empty counts.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from catalog.imaging.paths import UnsafePath, open_beneath
from catalog.importers.rows import SourceError
from catalog.importers.tables.lines import show
from catalog.importers.tables.specs import Description
from catalog.importers.tables.toml_section import describe_errors
from vocab.toml_text import parse_toml

MAX_TOML_BYTES = 1 << 20


def read_description(path: Path) -> Description:
    """Read and check a `dataset.toml`. Raises `SourceError` with the places of what is wrong."""
    return parse_description(_load(path), file=path.name, home=path.parent)


def parse_description(values: Mapping[str, Any], *, file: str, home: Path) -> Description:
    """The same for what a TOML file holds; `home` is the folder that its paths start in."""
    try:
        return Description.model_validate(values, context={"home": home})
    except ValidationError as error:
        raise SourceError(describe_errors(error, Description, file)) from error


def _load(path: Path) -> dict[str, Any]:
    content = _read(path)
    try:
        return parse_toml(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # ValueError: also of numbers with 5,000 digits
        raise SourceError(
            f"{path.name} is no TOML: {error}.{_show_line(content, str(error))} Write a key a "
            'line, below its section, and text in quotes: title = "My rays".'
        ) from error


def _read(path: Path) -> bytes:
    """What is in the file: by a link, a stranger could have lines of any file shown."""
    try:
        with open_beneath(path.parent, path.name) as file:
            content = file.read(MAX_TOML_BYTES + 1)
    except UnsafePath as error:
        raise SourceError(str(error)) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_TOML_BYTES:
        raise SourceError(f"{path.name} is too large for a description. Is it the table?")
    return content


def _show_line(content: bytes, error: str) -> str:
    """The line that an error names."""
    found = re.search(r"at line ([0-9]+)", error)
    lines = content.decode(errors="replace").splitlines() if found else []
    number = int(found[1]) if found else 0
    return f" That line is: {show(lines[number - 1])}" if 0 < number <= len(lines) else ""
