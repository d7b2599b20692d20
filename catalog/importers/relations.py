"""Relations between datasets, from the catalog's own file."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from catalog.importers.entry_models import RelationEntry
from catalog.models import Dataset, DatasetRelation

# Where the relations of a dataset stand in its ``imported_json``.
_KEY = "relations"


def read_relations(path: Path) -> list[RelationEntry]:
    """The ``[[relation]]`` tables of a TOML file. Raises pydantic's ValidationError."""
    with path.open("rb") as file:
        return [RelationEntry.model_validate(each) for each in tomllib.load(file)["relation"]]


def add_missing_relations(*, relations: Sequence[RelationEntry]) -> int:
    """Add the relations of datasets that are there; returns their number.

    A relation that was added once and that a curator has removed does not come back.
    """
    datasets = {each.slug: each for each in Dataset.objects.select_for_update(no_key=True)}
    new, changed = [], dict[str, Dataset]()
    for each in relations:
        dataset, other = datasets.get(each.dataset), datasets.get(each.other)
        if not (dataset and other):
            continue
        known = dataset.imported_json.setdefault(_KEY, [])
        if [each.kind, each.other] not in known:
            known.append([each.kind, each.other])
            changed[dataset.slug] = dataset
            new.append(
                DatasetRelation(dataset=dataset, kind=each.kind, other=other, source=each.source)
            )
    Dataset.objects.bulk_update(changed.values(), ["imported_json"], batch_size=200)
    DatasetRelation.objects.bulk_create(new, ignore_conflicts=True)
    return len(new)
