"""The catalog's own entries: those that people wrote, and the facts of all open datasets.

``data/datasets.toml`` has entries with a description in prose. ``data/open-datasets.toml`` has
facts of these and of many more, mostly from a survey, and relations; ``manage.py merge_survey``
takes a newer survey into it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import transaction

from catalog.importers.dataset_entries import (
    SHIPPED_DATASETS,
    add_missing_datasets,
    read_datasets,
)
from catalog.importers.relations import add_missing_relations, read_relations
from catalog.importers.survey.description import describe_facts
from vocab.lookup import current_vocabularies

OPEN_DATASETS = Path(__file__).parent.parent / "data" / "open-datasets.toml"


def load_shipped_datasets(*, more: Sequence[Mapping[str, Any]] = ()) -> tuple[int, int]:
    """Add the shipped entries, ``more`` entries and all relations that are not there yet.

    Returns how many datasets were added, and how many were there.
    """
    with transaction.atomic():
        counts = add_missing_datasets(entries=[*read_shipped_entries(), *more])
        add_missing_relations(relations=read_relations(OPEN_DATASETS))
    return counts


def read_shipped_entries() -> list[dict[str, Any]]:
    """All shipped entries; where both files have one, what people wrote wins."""
    facts = {entry["slug"]: entry for entry in read_datasets(OPEN_DATASETS)}
    written = read_datasets(SHIPPED_DATASETS)
    joined = [{**facts.pop(entry["slug"], {}), **entry} for entry in written]
    name_of = _names_of_terms()
    described = [{"description": describe_facts(entry, name_of), **entry}
                 for entry in facts.values()]  # fmt: skip
    return joined + described


def _names_of_terms() -> Any:
    terms = current_vocabularies().terms
    names = {
        (vocabulary, ref.code): ref.name for vocabulary, refs in terms.items()
        for ref in refs.values()
    }  # fmt: skip

    def name_of(vocabulary: str, code: str) -> str:
        # An inactive term is refused when the entry is saved, which says so better.
        return names.get((vocabulary, code), code)

    return name_of
