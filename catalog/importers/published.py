"""Catalog entries for datasets as their publishers describe them, from a TOML file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import transaction

from catalog.models import Dataset
from catalog.search import refresh_search_vectors
from vocab.models import AnatomicalArea, License, Modality, Tag, TaskType, Term

SHIPPED_DATASETS = Path(__file__).parent.parent / "data" / "datasets.toml"
_PLAIN = ("title", "description", "source_url", "citation", "doi", "num_images", "size_mb",
          "local_path", "is_synthetic")  # fmt: skip


def read_datasets(path: Path) -> list[dict[str, Any]]:
    """The ``[[dataset]]`` tables of a TOML file; terms are named by code."""
    with path.open("rb") as file:
        return tomllib.load(file)["dataset"]


def add_missing_datasets(*, entries: list[dict[str, Any]]) -> tuple[int, int]:
    """Add the entries whose slug is new and leave the others as they are: (added, kept)."""
    known = set(Dataset.objects.values_list("slug", flat=True))
    new = [entry for entry in entries if entry["slug"] not in known]
    with transaction.atomic():
        datasets = [add_dataset(entry=entry) for entry in new]
    return len(datasets), len(entries) - len(datasets)


def add_dataset(*, entry: Mapping[str, Any]) -> Dataset:
    """Create one dataset with its terms and make it findable.

    Raises:
        LookupError: the entry names a term that is in no vocabulary.
        ValidationError: a field does not hold what it should.
    """
    dataset = Dataset(slug=entry["slug"], **{k: entry[k] for k in _PLAIN if k in entry})
    dataset.area = _find(AnatomicalArea, entry.get("area"))
    dataset.license = _find(License, entry.get("license"))
    dataset.full_clean()
    with transaction.atomic():
        dataset.save()
        dataset.modalities.set(_find_all(Modality, entry.get("modalities", ())))
        dataset.task_types.set(_find_all(TaskType, entry.get("task_types", ())))
        dataset.tags.set(_find_all(Tag, entry.get("tags", ())))
        refresh_search_vectors(dataset_ids=[dataset.pk])
    return dataset


def _find(model: type[Term], code: str | None) -> Any:
    if not code:
        return None
    try:
        return model._default_manager.get(code=code)
    except model.DoesNotExist:
        raise LookupError(
            f"There is no {model._meta.verbose_name} with the code “{code}”."
        ) from None


def _find_all(model: type[Term], codes: Any) -> list[Any]:
    return [_find(model, code) for code in codes]
