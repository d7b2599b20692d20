"""Relations between datasets, from the catalog's own file."""

import logging
import tomllib
from collections.abc import Sequence
from pathlib import Path

from catalog import services
from catalog.imported_keys import RELATIONS
from catalog.importers.entry_models import RelationEntry
from catalog.models import Dataset, DatasetRelation, RelationKind

logger = logging.getLogger(__name__)


def read_relations(path: Path) -> list[RelationEntry]:
    """The ``[[relation]]`` tables of a TOML file.

    Raises:
        pydantic.ValidationError: one is not as it should be.
        services.RelationCircle: they make a dataset a part, or a newer version, of itself.
    """
    with path.open("rb") as file:
        found = [RelationEntry.model_validate(each) for each in tomllib.load(file)["relation"]]
    relations: dict[str, dict[str, set[str]]] = {kind: {} for kind in RelationKind.values}
    for each in found:
        try:
            _add(each, relations)
        except services.RelationCircle as error:
            raise services.RelationCircle(
                f"{path.name}: {error} Remove one of these relations."
            ) from error
    return found


def _add(each: RelationEntry, relations: dict[str, dict[str, set[str]]]) -> None:
    services.refuse_circle(
        kind=each.kind, dataset=each.dataset, other=each.other, relations=relations
    )
    relations[each.kind].setdefault(each.dataset, set()).add(each.other)


def add_missing_relations(*, relations: Sequence[RelationEntry]) -> int:
    """Add the relations of datasets that are there; returns their number.

    A relation that was added once and that a curator has removed does not come back. One that
    contradicts what a curator says is left out, and the log says so.
    """
    there = services.read_relations()
    datasets = {each.slug: each for each in Dataset.objects.select_for_update(no_key=True)}
    new, changed = [], dict[str, Dataset]()
    for each in relations:
        dataset, other = datasets.get(each.dataset), datasets.get(each.other)
        if not (dataset and other):
            continue
        known = dataset.imported_json.setdefault(RELATIONS, [])
        if [each.kind, each.other] not in known:
            try:
                _add(each, there)
            except services.RelationCircle as error:
                logger.warning("A relation of the catalog is left out. %s", error)
                continue
            known.append([each.kind, each.other])
            changed[dataset.slug] = dataset
            new.append(
                DatasetRelation(dataset=dataset, kind=each.kind, other=other, source=each.source)
            )
    Dataset.objects.bulk_update(changed.values(), ["imported_json"], batch_size=200)
    DatasetRelation.objects.bulk_create(new, ignore_conflicts=True)
    return len(new)
