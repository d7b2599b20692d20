"""The ``dataset_description.json`` of a BIDS dataset: its name, licence and DOI.

Source: BIDS specification 1.10, "dataset_description.json" (``Name``, ``License``, ``DatasetDOI``).
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError

from catalog.importers.folders.bids_files import read_text
from catalog.importers.tables.lines import show
from catalog.limits import MAX_TITLE
from catalog.models import Dataset
from vocab.lookup import find_terms

FILE = "dataset_description.json"
_DOI_PREFIX = re.compile(r"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)+", re.IGNORECASE)


@dataclass(slots=True)
class DatasetDescription:
    """What the file says, '' if it says nothing that can be used; the licence is a code.

    ``notes`` say what could not be used, for the report.
    """

    title: str = ""
    license: str = ""
    doi: str = ""
    notes: list[str] = field(default_factory=list)


def read_dataset_description(root: Path) -> DatasetDescription:
    """The description of the dataset in a folder; without the file, an empty one."""
    described = DatasetDescription()
    text = read_text(root, FILE)
    if not text:
        return described
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        described.notes.append(f"{FILE} is not a JSON object, so it was not used: correct it")
        return described
    described.title = _read(found, "Name")[:MAX_TITLE].strip()
    _add_license(described, _read(found, "License"))
    _add_doi(described, _read(found, "DatasetDOI"))
    return described


def _read(found: dict[str, Any], key: str) -> str:
    value = found.get(key)
    text = value if isinstance(value, str) else ""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _add_license(described: DatasetDescription, word: str) -> None:
    if not word:
        return
    terms = find_terms("license", [word])[word]
    if len(terms) == 1:
        described.license = terms[0].code
        return
    what = "means several licences" if terms else "is in no vocabulary"
    described.notes.append(
        f"{FILE}: the License “{show(word)}” {what}, so it counts as not stated: give --license, "
        "or add the word to a licence as an alias, and import again"
    )


def _add_doi(described: DatasetDescription, word: str) -> None:
    doi = _DOI_PREFIX.sub("", word).strip()
    if not doi:
        return
    try:
        Dataset._meta.get_field("doi").clean(doi, None)
    except ValidationError as error:
        described.notes.append(
            f"{FILE}: the DatasetDOI “{show(word)}” was not used: {' '.join(error.messages)}"
        )
    else:
        described.doi = doi
