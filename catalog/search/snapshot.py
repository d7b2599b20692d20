"""A snapshot of the catalog in the memory of each process, in the form that filters need.

Profiles and datasets are small tables: a million images make some ten thousand profiles. Stored as
columns in memory, they answer every facet in milliseconds. ``current_snapshot`` reads one stamp
from the database and then reloads only the datasets that have changed since. Database triggers
give a dataset and the vocabularies a new version with every change, so no change is missed.
"""

import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import OuterRef

from catalog.ages import UNKNOWN_AGE
from catalog.dataset_hosts import IDC, find_host
from catalog.models import Access, Availability, Dataset, Dimension
from catalog.search import queries
from catalog.search.columns import Column, Grouping, Ints, Parts, SetColumn, Table
from catalog.search.filter_choices import (
    ACCESS_CHOICES,
    ACCESS_CODES,
    AGE_CHOICES,
    AVAILABILITY_CODES,
    DIMENSION_CODES,
    FILE_CHOICES,
    HOST_CODES,
    KIND_CODES,
    LISTED,
    LISTED_CODES,
    NOT_LISTED,
    SEX_CHOICES,
    SEX_CODES,
    STATED,
    STATED_CODES,
    UNKNOWN,
    YEAR_CHOICES,
    YEAR_CODES,
    size_code,
    year_band,
)
from catalog.search.query import NamedDataset, Spellings, say_signs
from vocab.lookup import Vocabularies, current_vocabularies
from vocab.models import Kind
from vocab.text import TermRef, normalize

# Tags that datasets have in effect by their facts: a query by "3D" or "open" means all of these.
SYNTHETIC = "synthetic"
_TAGS_OF_FACTS = {
    Access.OPEN: "open-access",
    Access.REGISTRATION: "registration-required",
    Dimension.FLAT: "2d",
    Dimension.VOLUME: "3d",
    Dimension.VIDEO: "video",
}
# Tags of datasets that show no patients.
NO_PATIENTS = frozenset({SYNTHETIC, "phantom", "test-files"})
_WORD = re.compile(r"\w+")
# A word in running text; a name or an acronym has a capital.
_PLAIN_WORD = re.compile(r"\b[a-z]{4,}\b")


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
    ``wordings`` are the normal forms of each term's spellings, with signs as words.
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
    wordings: Mapping[TermRef, Sequence[str]]

    def is_unchanged(self, dataset_ids: Iterable[int]) -> bool:
        """Whether no change to these datasets has been committed since."""
        ids = list(dataset_ids)
        now = dict(Dataset.objects.filter(pk__in=ids).values_list("pk", "version"))
        return all(now.get(pk) == self.versions.get(pk) for pk in ids)


class _Block(NamedTuple):
    """The profiles of one dataset: columns of equal length; ``label_sets`` are interned."""

    ids: Ints
    area: Ints
    modality: Ints
    label_sets: Ints
    sex: Ints
    age: Ints
    local: Ints
    license: Ints
    view: Ints
    num_images: Ints
    num_bytes: Ints
    num_ages: Ints


class _Ages(NamedTuple):
    """Completed ages within each profile of one dataset, ``num_ages`` of each in their order."""

    ages: Ints
    num_images: Ints
    num_bytes: Ints


@dataclass(slots=True)
class _Cache:
    """What is reused when the next snapshot is made."""

    snapshot: Snapshot | None = None
    datasets: dict[int, dict[str, Any]] = field(default_factory=dict)
    blocks: dict[int, tuple[_Block, _Ages]] = field(default_factory=dict)
    label_sets: dict[str, int] = field(default_factory=dict)
    members: list[list[int]] = field(default_factory=list)


_cache = _Cache()
_lock = threading.Lock()


def read_stamp() -> Stamp:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce((SELECT version FROM vocab_vocabularyversion), 0), count(*),"
            " coalesce(sum(version), 0)::bigint FROM catalog_dataset"
        )
        return Stamp(*cursor.fetchone())


def current_snapshot() -> Snapshot:
    """The catalog as it is now; costs a single small query when nothing has changed."""
    stamp = read_stamp()
    with _lock:
        if _cache.snapshot is None or _cache.snapshot.stamp != stamp:
            _cache.snapshot = _load(stamp)
        return _cache.snapshot


def _load(stamp: Stamp) -> Snapshot:
    try:
        _load_blocks(_load_datasets())
    except BaseException:
        # It may be only half loaded, so the next request starts with an empty cache.
        _cache.datasets.clear()
        _cache.blocks.clear()
        raise
    vocabularies = current_vocabularies()
    rows = [_cache.datasets[pk] for pk in sorted(_cache.datasets)]
    datasets = _make_datasets(rows, vocabularies)
    refs = {row["slug"]: TermRef("dataset", row["id"], row["slug"], row["title"]) for row in rows}
    return Snapshot(
        stamp=stamp,
        titles={row["id"]: row["title"] for row in rows},
        sort_keys={row["id"]: _make_sort_keys(row) for row in rows},
        shown_terms=_list_shown_terms(rows, vocabularies),
        versions={row["id"]: row["version"] for row in rows},
        vocabularies=vocabularies,
        spellings=Spellings(
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
        ),
        datasets=datasets,
        images=_make_images(datasets, vocabularies.kinds),
        refs=refs,
        wordings=_list_wordings(vocabularies),
    )


def _make_sort_keys(row: Mapping[str, Any]) -> SortKeys:
    return SortKeys(
        row["place"],
        row["is_featured"],
        row["num_images"],
        row["year"] or 0,
        row["size_mb"] or 0,
        row["created_at"].timestamp(),
    )


def _list_shown_terms(
    rows: Iterable[Mapping[str, Any]], vocabularies: Vocabularies
) -> dict[int, list[str]]:
    # Each vocabulary's terms are in the order of their names.
    areas, modalities, tasks = (
        {pk: (place, ref.name) for place, (pk, ref) in enumerate(vocabularies.terms[name].items())}
        for name in ("area", "modality", "task")
    )
    shown = {}
    for row in rows:
        own = areas.get(row["area_id"])
        others = sorted({areas[pk] for pk in row[_ids("other_area")] if pk in areas} - {own})
        given = [each for each in (own, *others) if each]
        for known, name in ((modalities, "modality"), (tasks, "task")):
            given += sorted(known[pk] for pk in row[_ids(name)] if pk in known)
        shown[row["id"]] = [name for _, name in given]
    return shown


def _list_wordings(vocabularies: Vocabularies) -> Mapping[TermRef, Sequence[str]]:
    wordings: dict[TermRef, list[str]] = {}
    for spellings in ({**vocabularies.spellings, "label": vocabularies.labels}).values():
        for key, terms in spellings.items():
            for term in terms:
                wordings.setdefault(term, []).append(say_signs(key))
    return wordings


_PLAIN = ("id", "version", "slug", "title", "description", "area_id", "license_id", "size_mb",
          "is_synthetic", "is_featured", "source_url", "year", "access", "dimensions",
          "num_images", "created_at")  # fmt: skip


def _load_datasets() -> set[int]:
    """Load new and changed datasets, drop deleted ones; returns the ids of those loaded."""
    by_title = Dataset.objects.active().order_by("title", "pk")  # as the database sorts words
    versions = dict(by_title.values_list("id", "version"))
    cached = _cache.datasets
    changed = {pk for pk, v in versions.items() if pk not in cached or cached[pk]["version"] != v}
    for pk in cached.keys() - versions.keys():
        del cached[pk]
        _cache.blocks.pop(pk, None)
    rows = Dataset.objects.active().filter(pk__in=changed).order_by()
    for row in rows.values(*_PLAIN, **{_ids(name): _select_ids(name) for name in _MANY}):
        row["named"] = _words_of(f"{row['title']} {row['slug']}")
        row["plain"] = frozenset(_PLAIN_WORD.findall(row["description"]))
        row["described"] = _words_of(row.pop("description"))
        row["host"] = find_host(row.pop("source_url")).code
        cached[row["id"]] = row
    for place, pk in enumerate(versions):
        if pk in cached:
            cached[pk]["place"] = place
    return changed


def _words_of(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(normalize(text)))


def _known_words(rows: Iterable[dict[str, Any]]) -> set[str]:
    """Words that are not typos: those of titles, and those that several descriptions use."""
    described = Counter(word for row in rows for word in row["described"])
    common = {word for word, times in described.items() if times > 1}
    return common.union(*(row["named"] for row in rows))


# The many-to-many relations of a dataset: the table of each, and its column.
_MANY: Mapping[str, tuple[Any, str]] = {
    "modality": (Dataset.modalities.through, "modality_id"),
    "task": (Dataset.task_types.through, "tasktype_id"),
    "tag": (Dataset.tags.through, "tag_id"),
    "other_area": (Dataset.other_areas.through, "anatomicalarea_id"),
    "own_label": (Dataset.labels.through, "label_id"),
}


def _ids(name: str) -> str:
    return f"{name}_ids"


def _select_ids(name: str) -> ArraySubquery:
    through, column = _MANY[name]
    return ArraySubquery(through.objects.filter(dataset_id=OuterRef("pk")).values(column))


def _load_blocks(dataset_ids: Iterable[int]) -> None:
    wanted = sorted(dataset_ids)
    for pk in wanted:
        _cache.blocks.pop(pk, None)
    with connection.cursor() as cursor:
        cursor.execute(queries.PROFILES, [UNKNOWN_AGE, wanted])
        rows = cursor.fetchall()
    if not rows:
        return
    (owner, ids, area, modality, labels, sex, age, local, license_, view, images, size, num_ages,
     *by_age) = zip(*rows, strict=True)  # fmt: skip
    columns = [
        ids, area, modality, [_intern(text) for text in labels],
        [SEX_CODES[code] for code in sex], age, [AVAILABILITY_CODES[code] for code in local],
        license_, view, images, size, num_ages,
    ]  # fmt: skip
    arrays = [np.array(column, dtype=np.int64) for column in columns]
    owners, starts = np.unique(np.array(owner, dtype=np.int64), return_index=True)
    ends = [*starts[1:].tolist(), len(rows)]
    for pk, start, end in zip(owners.tolist(), starts.tolist(), ends, strict=True):
        block = _Block(*(array[start:end] for array in arrays))
        _cache.blocks[pk] = block, _Ages(*(_parse_numbers(texts[start:end]) for texts in by_age))


def _parse_numbers(texts: Sequence[str]) -> Ints:
    """The numbers of texts such as ``780,792``, without a Python object for each of a million."""
    return np.fromstring(",".join(texts), dtype=np.int64, sep=",")


def _make_datasets(rows: list[dict[str, Any]], vocabularies: Vocabularies) -> Table:
    def column(values: Iterable[int]) -> Column:
        return Column.of(np.array(list(values), dtype=np.int64))

    licenses = vocabularies.terms["license"]
    known = {pk for pk, license_ in licenses.items() if license_.code != UNKNOWN}
    columns: dict[str, Column | SetColumn] = {
        "dataset": column(row["id"] for row in rows),
        "area": SetColumn.of([_list_areas(row) for row in rows]),
        "label": SetColumn.of([_list_labels(row) for row in rows]),
        "year": column(YEAR_CODES[year_band(row["year"])] for row in rows),
        "host": SetColumn.of([_list_hosts(row, vocabularies) for row in rows]),
        "access": column(ACCESS_CODES[row["access"] or UNKNOWN] for row in rows),
        "dimension": SetColumn.of(
            [[DIMENSION_CODES[each] for each in row["dimensions"] or [UNKNOWN]] for row in rows]
        ),
        "featured": column(int(row["is_featured"]) for row in rows),
        "images": column(LISTED_CODES[_says_listed(row["id"])] for row in rows),
        "license": SetColumn.of([_list_licenses(row) for row in rows]),
        "license_stated": column(
            STATED_CODES[UNKNOWN if known.isdisjoint(_list_licenses(row)) else STATED]
            for row in rows
        ),
        "own_license": column(row["license_id"] or 0 for row in rows),
        "size": column(size_code(row["size_mb"]) for row in rows),
        "local": SetColumn.of([_list_availability(row["id"]) for row in rows]),
    }
    columns |= {
        name: SetColumn.of([row[_ids(name)] for row in rows]) for name in ("modality", "task")
    }
    tag_ids = {tag.code: pk for pk, tag in vocabularies.terms["tag"].items()}
    columns["tag"] = SetColumn.of([_list_tags(row, tag_ids) for row in rows])
    no_patients = {pk for pk, tag in vocabularies.terms["tag"].items() if tag.code in NO_PATIENTS}
    columns["no_patients"] = column(
        int(row["is_synthetic"] or not no_patients.isdisjoint(row[_ids("tag")])) for row in rows
    )
    ids = np.array([row["id"] for row in rows], dtype=np.int64)
    return Table(ids, columns, np.ones(len(rows), dtype=np.int64))


def _list_areas(row: Mapping[str, Any]) -> list[int]:
    return sorted({row["area_id"], *row[_ids("other_area")]} - {None})


def _list_labels(row: Mapping[str, Any]) -> list[int]:
    """What a dataset is about, and the labels of its images."""
    found = set(row[_ids("own_label")])
    if row["id"] in _cache.blocks:
        block, _ = _cache.blocks[row["id"]]
        found.update(*(_cache.members[number] for number in np.unique(block.label_sets).tolist()))
    return sorted(found)


def _list_tags(row: Mapping[str, Any], ids: Mapping[str, int]) -> list[int]:
    """The tags of a dataset, and those that its facts say."""
    facts = [row["access"], *row["dimensions"]]
    codes = [_TAGS_OF_FACTS[fact] for fact in facts if fact in _TAGS_OF_FACTS]
    if row["is_synthetic"]:
        codes.append(SYNTHETIC)
    return sorted({*row[_ids("tag")], *(ids[code] for code in codes if code in ids)})


def _list_hosts(row: Mapping[str, Any], vocabularies: Vocabularies) -> list[int]:
    """Who hosts the page of a dataset; its files may be in the Imaging Data Commons as well."""
    tags = vocabularies.terms["tag"]
    in_idc = any(tags[pk].code == IDC.code for pk in row[_ids("tag")] if pk in tags)
    return sorted({HOST_CODES[row["host"]], *([HOST_CODES[IDC.code]] if in_idc else [])})


def _says_listed(dataset_id: int) -> str:
    return LISTED if dataset_id in _cache.blocks else NOT_LISTED


def _list_availability(dataset_id: int) -> list[int]:
    """Where the files of a dataset's images are; one without images is listed only."""
    if dataset_id not in _cache.blocks:
        return [AVAILABILITY_CODES[Availability.LISTED]]
    block, _ = _cache.blocks[dataset_id]
    return np.unique(block.local).tolist()


def _list_licenses(row: Mapping[str, Any]) -> list[int]:
    """The licence of a dataset, and those that its images have of their own."""
    blocks = _cache.blocks.get(row["id"])
    of_images = np.unique(blocks[0].license).tolist() if blocks else []
    return sorted({row["license_id"] or 0, *of_images} - {0})


def _make_images(datasets: Table, kinds: Mapping[int, str]) -> Table:
    """All blocks as one table in the order of profile ids, with the columns of their datasets."""
    places = [i for i, pk in enumerate(datasets.ids.tolist()) if pk in _cache.blocks]
    blocks = [_cache.blocks[int(datasets.ids[i])] for i in places]
    joined = _Block(*_join([block for block, _ in blocks], len(_Block._fields)))
    sizes = [len(block.ids) for block, _ in blocks]
    order = np.argsort(joined.ids, kind="stable")
    ages = _make_ages([ages for _, ages in blocks], joined.num_ages, order)
    joined = _Block(*(column[order] for column in joined))
    place = np.repeat(np.array(places, dtype=np.int32), sizes)[order]
    columns = _image_columns(joined, place, datasets)
    columns["kind"] = _kinds_of(columns["modality"], kinds)
    columns["rank"] = _rank(columns, datasets.columns["no_patients"], place)
    # Most profiles of a dataset differ by their labels alone.
    others = {name: column for name, column in columns.items() if name != "label"}
    groups = Grouping.of(others, joined.num_images)
    return Table(joined.ids, columns, joined.num_images, joined.num_bytes, ages, groups)


def _make_ages(blocks: Sequence[_Ages], num_ages: Ints, order: Ints) -> Parts:
    """The ages of all blocks; their profiles, with ``num_ages`` of them, are put into ``order``."""
    new_places = np.empty_like(order)
    new_places[order] = np.arange(len(order))
    joined = _Ages(*_join(blocks, len(_Ages._fields)))
    return Parts(np.repeat(new_places, num_ages), joined.ages, joined.num_images, joined.num_bytes)


def _join(blocks: Sequence[Iterable[Ints]], num_columns: int) -> list[Ints]:
    """The columns of all blocks, one below the other."""
    empty = np.zeros(0, dtype=np.int64)
    joined = [np.concatenate([empty, *column]) for column in zip(*blocks, strict=True)]
    return joined or [empty] * num_columns


def _image_columns(joined: _Block, place: Any, datasets: Table) -> dict[str, Column | SetColumn]:
    columns: dict[str, Column | SetColumn] = {
        "area": Column.of(joined.area),
        "modality": Column.of(joined.modality),
        "label": SetColumn.of(_cache.members, joined.label_sets.astype(np.int32)),
        "sex": Column.of(joined.sex),
        "age": Column.of(joined.age),
        "local": Column.of(joined.local),
        "view": Column.of(joined.view),
    }
    for name in ("dataset", "task", "tag"):
        columns[name] = datasets.columns[name].through(place)
    columns["license"] = _own_or_of_dataset(joined.license, datasets.columns["own_license"], place)
    return columns


def _own_or_of_dataset(own: Ints, of_datasets: Column | SetColumn, place: Any) -> Column:
    """The licences of images: their own where they have one, else that of their dataset."""
    assert isinstance(of_datasets, Column)  # noqa: S101 - tells the type checker
    given = of_datasets.through(place)
    return Column.of(np.where(own > 0, own, given.values[given.codes]))


def _kinds_of(modality: Column | SetColumn, kinds: Mapping[int, str]) -> Column:
    """The kinds of images by their modalities; one without a modality is taken for a picture."""
    assert isinstance(modality, Column)  # noqa: S101 - tells the type checker
    known = [KIND_CODES[kinds.get(pk, Kind.PICTURE)] for pk in modality.values.tolist()]
    return Column.of(np.array(known, dtype=np.int64)[modality.codes])


def _rank(
    columns: Mapping[str, Column | SetColumn], no_patients: Column | SetColumn, place: Any
) -> Column:
    """The rank of each profile in ``catalog.search.order``, from 0."""
    here = columns["local"].any_of([AVAILABILITY_CODES[Availability.HERE]])
    pictures = columns["kind"].any_of([KIND_CODES[Kind.PICTURE]])
    of_patients = no_patients.any_of([0])[place]
    return Column.of(4 * ~here + 2 * ~pictures + 1 * ~of_patients)


def _intern(text: str) -> int:
    """The number of a set of labels; ``text`` is a PostgreSQL array such as ``{3,14}``."""
    if text not in _cache.label_sets:
        _cache.label_sets[text] = len(_cache.members)
        inner = text.strip("{}")
        _cache.members.append([int(part) for part in inner.split(",")] if inner else [])
    return _cache.label_sets[text]
