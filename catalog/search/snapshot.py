"""A snapshot of the catalog in the memory of each process, in the form that filters need.

Profiles and datasets are small tables: a million images make some ten thousand profiles. Stored as
columns in memory, they answer every facet in milliseconds. ``current_snapshot`` reads one stamp
from the database and then reloads only the datasets that have changed since. Database triggers
give a dataset and the vocabularies a new version with every change, so no change is missed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import connection

from catalog.models import Dataset
from catalog.search.columns import Table
from catalog.search.dataset_columns import make_datasets
from catalog.search.dataset_rows import Row, load_datasets
from catalog.search.filter_choices import (
    ACCESS_CHOICES,
    AGE_CHOICES,
    FILE_CHOICES,
    SEX_CHOICES,
    YEAR_CHOICES,
)
from catalog.search.image_columns import make_images
from catalog.search.profile_blocks import ProfileBlocks
from catalog.search.query import NamedDataset, Spellings
from catalog.search.shared import Shared
from vocab.lookup import Vocabularies, current_vocabularies
from vocab.text import TermRef


class Stamp(NamedTuple):
    """Equal stamps mean an unchanged catalog: no version number is used twice."""

    vocabularies: int
    num_datasets: int
    sum_of_versions: int


class SortKeys(NamedTuple):
    """What datasets are sorted by: the place among the titles, and 0 for what is not stated."""

    place: int
    is_featured: bool
    num_images: int
    year: int
    size_mb: int
    created: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Active datasets and their profiles as they were at one stamp; immutable.

    ``datasets`` is in ascending order of ids, and ``images`` has a row for each profile. ``refs``
    has a reference to each dataset by slug; ``titles`` and ``versions`` are by id, and so are
    ``sort_keys`` and ``shown_terms``: the names of areas, the dataset's own first, of modalities
    and of tasks.
    """

    stamp: Stamp
    vocabularies: Vocabularies
    spellings: Spellings
    datasets: Table
    images: Table
    refs: Mapping[str, TermRef]
    titles: Mapping[int, str]
    sort_keys: Mapping[int, SortKeys]
    shown_terms: Mapping[int, Sequence[str]]
    versions: Mapping[int, int]

    def is_unchanged(self, dataset_ids: Iterable[int]) -> bool:
        """Whether no change to these datasets has been committed since."""
        ids = list(dataset_ids)
        now = dict(Dataset.objects.filter(pk__in=ids).values_list("pk", "version"))
        return all(now.get(pk) == self.versions.get(pk) for pk in ids)


@dataclass(slots=True)
class _Cache:
    """What is reused when the next snapshot is made."""

    datasets: dict[int, dict[str, Any]] = field(default_factory=dict)
    blocks: ProfileBlocks = field(default_factory=ProfileBlocks)


_cache = _Cache()


def read_stamp() -> Stamp:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce((SELECT version FROM vocab_vocabularyversion), 0), count(*),"
            " coalesce(sum(version), 0)::bigint FROM catalog_dataset"
        )
        return Stamp(*cursor.fetchone())


def current_snapshot(*, waits: bool = False) -> Snapshot:
    """The catalog as it is now; costs a single small query when nothing has changed.

    While another thread reads what has changed it is the catalog as it was, up to two seconds ago,
    unless the caller ``waits``.
    """
    return _shared.get(waits=waits)


def _look(seen: Snapshot | None) -> Snapshot:
    """Read what has changed since, if anything has."""
    stamp = read_stamp()
    return seen if seen and seen.stamp == stamp else _load(stamp)


_shared = Shared(_look)


def _load(stamp: Stamp) -> Snapshot:
    try:
        _load_changes()
    except BaseException:
        # It may be only half loaded, so the next request starts with an empty cache.
        _cache.datasets.clear()
        _cache.blocks.keep_only(())
        raise
    vocabularies = current_vocabularies()
    rows = [_cache.datasets[pk] for pk in sorted(_cache.datasets)]
    datasets = make_datasets(rows, _cache.blocks, vocabularies)
    refs = {row["slug"]: TermRef("dataset", row["id"], row["slug"], row["title"]) for row in rows}
    return Snapshot(
        stamp=stamp,
        vocabularies=vocabularies,
        spellings=_make_spellings(rows, refs, vocabularies),
        datasets=datasets,
        images=make_images(datasets, _cache.blocks, vocabularies.kinds),
        refs=refs,
        titles={row["id"]: row["title"] for row in rows},
        sort_keys={row["id"]: _make_sort_keys(row) for row in rows},
        shown_terms=_list_shown_terms(rows, vocabularies),
        versions={row["id"]: row["version"] for row in rows},
    )


def _load_changes() -> None:
    changed = load_datasets(_cache.datasets)
    _cache.blocks.keep_only(_cache.datasets)
    _cache.blocks.load(changed)


def _make_spellings(
    rows: Sequence[Row], refs: Mapping[str, TermRef], vocabularies: Vocabularies
) -> Spellings:
    return Spellings(
        vocabularies.all_spellings(),
        labels=vocabularies.labels,
        commercial=vocabularies.commercial,
        choices={
            "sex": SEX_CHOICES,
            "age": AGE_CHOICES,
            "local": FILE_CHOICES,
            "access": ACCESS_CHOICES,
            "year": YEAR_CHOICES,
        },
        known_words=_known_words(rows),
        datasets=[NamedDataset(ref, ref.name, slug) for slug, ref in refs.items()],
        plain_words=frozenset().union(*(row["plain"] for row in rows)),
    )


def _known_words(rows: Iterable[Row]) -> set[str]:
    """Words that are not typos: those of titles, and those that several descriptions use."""
    described = Counter(word for row in rows for word in row["described"])
    common = {word for word, times in described.items() if times > 1}
    return common.union(*(row["named"] for row in rows))


def _make_sort_keys(row: Row) -> SortKeys:
    return SortKeys(
        row["place"],
        row["is_featured"],
        row["num_images"],
        row["year"] or 0,
        row["size_mb"] or 0,
        row["created_at"].timestamp(),
    )


def _list_shown_terms(rows: Iterable[Row], vocabularies: Vocabularies) -> dict[int, list[str]]:
    # Each vocabulary's terms are in the order of their names.
    areas, modalities, tasks = (
        {pk: (place, ref.name) for place, (pk, ref) in enumerate(vocabularies.terms[name].items())}
        for name in ("area", "modality", "task")
    )
    shown = {}
    for row in rows:
        own = areas.get(row["area_id"])
        others = sorted({areas[pk] for pk in row["other_area_ids"] if pk in areas} - {own})
        given = [each for each in (own, *others) if each]
        for known, name in ((modalities, "modality"), (tasks, "task")):
            given += sorted(known[pk] for pk in row[f"{name}_ids"] if pk in known)
        shown[row["id"]] = [name for _, name in given]
    return shown
