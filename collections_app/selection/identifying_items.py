"""How many files of a selection, or of frozen items, tell who somebody is."""

from collections.abc import Iterable
from typing import Any

from django.db import connection

from catalog import imported_keys
from catalog.models import Dataset
from catalog.querysets import IDENTIFYING, first_attributes
from catalog.search.filters import ImageFilterSet
from collections_app.models import Collection
from collections_app.provenance_keys import DATASETS
from collections_app.selection import queries


def count_identifying(filters: ImageFilterSet, datasets: Iterable[Dataset]) -> dict[str, int]:
    """The counts of the selected images; ``datasets`` are all that they are from.

    The images are only read where an import found such files.
    """
    suspects = [dataset for dataset in datasets if dataset.identifying]
    found = {name for each in suspects for name in IDENTIFYING if each.identifying.get(name)}
    if not found:
        return {}
    counts: dict[str, int] = filters.images().filter(dataset__in=suspects).count_identifying(found)
    return counts


def describe_identifying(collection: Collection) -> dict[str, Any]:
    """The counts of the included items, with the attributes; empty if all are 0."""
    slugs = [dataset["slug"] for dataset in collection.provenance[DATASETS]]
    datasets = Dataset.objects.filter(slug__in=slugs)
    if not datasets.filter(imported_json__has_key=imported_keys.IDENTIFYING).exists():
        return {}
    return count_frozen(collection)


def count_frozen(collection: Collection) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(queries.COUNT_IDENTIFYING, [collection.pk])
        counts = dict(zip(("files", "burned_in", "unchecked"), cursor.fetchone(), strict=True))
        if not any(counts.values()):
            return {}
        cursor.execute(queries.IDENTIFYING_NAMES, [collection.pk])
        return counts | first_attributes(cursor.fetchall())
