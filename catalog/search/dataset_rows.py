"""The facts of each dataset as a row; read again only where a dataset has changed."""

import re
from collections.abc import Mapping
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef

from catalog.dataset_hosts import find_host
from catalog.models import Dataset
from vocab.text import normalize

# A dataset by the names below, and by these: ``named`` and ``described`` are the words of its title
# and its description, ``plain`` those of them that are no names; ``host`` is the code of who hosts
# its page, and ``place`` its place among the titles.
Row = Mapping[str, Any]

_FIELDS = ("id", "version", "slug", "title", "description", "area_id", "license_id", "size_mb",
           "is_synthetic", "is_featured", "source_url", "year", "access", "dimensions",
           "num_images", "created_at")  # fmt: skip
# The ids of many-to-many relations: the table of each, and its column.
_MANY: Mapping[str, tuple[Any, str]] = {
    "modality_ids": (Dataset.modalities.through, "modality_id"),
    "task_ids": (Dataset.task_types.through, "tasktype_id"),
    "tag_ids": (Dataset.tags.through, "tag_id"),
    "other_area_ids": (Dataset.other_areas.through, "anatomicalarea_id"),
    "own_label_ids": (Dataset.labels.through, "label_id"),
}
_WORD = re.compile(r"\w+")
# A word in running text; a name or an acronym has a capital.
_PLAIN_WORD = re.compile(r"\b[a-z]{4,}\b")


def load_datasets(known: dict[int, dict[str, Any]]) -> set[int]:
    """Load new and changed datasets, drop deleted ones; returns the ids of those loaded."""
    by_title = Dataset.objects.active().order_by("title", "pk")  # as the database sorts words
    versions = dict(by_title.values_list("id", "version"))
    changed = {pk for pk, v in versions.items() if pk not in known or known[pk]["version"] != v}
    for pk in known.keys() - versions.keys():
        del known[pk]
    rows = Dataset.objects.active().filter(pk__in=changed).order_by()
    for row in rows.values(*_FIELDS, **{name: _select_ids(name) for name in _MANY}):
        row["named"] = _words_of(f"{row['title']} {row['slug']}")
        row["plain"] = frozenset(_PLAIN_WORD.findall(row["description"]))
        row["described"] = _words_of(row.pop("description"))
        row["host"] = find_host(row.pop("source_url")).code
        known[row["id"]] = row
    for place, pk in enumerate(versions):
        if pk in known:
            known[pk]["place"] = place
    return changed


def _select_ids(name: str) -> ArraySubquery:
    through, column = _MANY[name]
    return ArraySubquery(through.objects.filter(dataset_id=OuterRef("pk")).values(column))


def _words_of(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(normalize(text)))
