"""Makes the table of datasets that filters and facets of datasets look into."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from catalog.dataset_hosts import IDC
from catalog.models import Access, Availability, Dimension
from catalog.search.columns import Column, SetColumn, Table
from catalog.search.dataset_rows import Row
from catalog.search.filter_choices import (
    ACCESS_CODES,
    AVAILABILITY_CODES,
    DIMENSION_CODES,
    HOST_CODES,
    LISTED,
    LISTED_CODES,
    NOT_LISTED,
    STATED,
    STATED_CODES,
    UNKNOWN,
    YEAR_CODES,
    size_code,
    year_band,
)
from catalog.search.profile_blocks import ProfileBlocks
from vocab.lookup import Vocabularies
from vocab.text import TermRef

Columns = dict[str, Column | SetColumn]

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


def make_datasets(rows: Sequence[Row], blocks: ProfileBlocks, vocabularies: Vocabularies) -> Table:
    """The table of these datasets, which are in ascending order of ids."""
    columns = {
        **_columns_of_facts(rows),
        **_columns_of_images(rows, blocks),
        **_columns_of_licenses(rows, blocks, vocabularies.terms["license"]),
        **_columns_of_tags(rows, vocabularies.terms["tag"]),
    }
    ids = np.array([row["id"] for row in rows], dtype=np.int64)
    return Table(ids, columns, np.ones(len(rows), dtype=np.int64))


def _column(values: Iterable[int]) -> Column:
    return Column.of(np.array(list(values), dtype=np.int64))


def _columns_of_facts(rows: Sequence[Row]) -> Columns:
    return {
        "dataset": _column(row["id"] for row in rows),
        "area": SetColumn.of([_list_areas(row) for row in rows]),
        "modality": SetColumn.of([row["modality_ids"] for row in rows]),
        "task": SetColumn.of([row["task_ids"] for row in rows]),
        "year": _column(YEAR_CODES[year_band(row["year"])] for row in rows),
        "access": _column(ACCESS_CODES[row["access"] or UNKNOWN] for row in rows),
        "dimension": SetColumn.of([_list_dimensions(row) for row in rows]),
        "featured": _column(int(row["is_featured"]) for row in rows),
        "size": _column(size_code(row["size_mb"]) for row in rows),
    }


def _columns_of_images(rows: Sequence[Row], blocks: ProfileBlocks) -> Columns:
    """What the images of a dataset say of it."""
    return {
        "label": SetColumn.of([_list_labels(row, blocks) for row in rows]),
        "images": _column(
            LISTED_CODES[LISTED if row["id"] in blocks.by_dataset else NOT_LISTED] for row in rows
        ),
        "local": SetColumn.of([_list_availability(row, blocks) for row in rows]),
    }


def _columns_of_licenses(
    rows: Sequence[Row], blocks: ProfileBlocks, licenses: Mapping[int, TermRef]
) -> Columns:
    known = {pk for pk, license_ in licenses.items() if license_.code != UNKNOWN}
    in_effect = [_list_licenses(row, blocks) for row in rows]
    return {
        "license": SetColumn.of(in_effect),
        "license_stated": _column(
            STATED_CODES[UNKNOWN if known.isdisjoint(ids) else STATED] for ids in in_effect
        ),
        "own_license": _column(row["license_id"] or 0 for row in rows),
    }


def _columns_of_tags(rows: Sequence[Row], tags: Mapping[int, TermRef]) -> Columns:
    ids = {tag.code: pk for pk, tag in tags.items()}
    no_patients = {pk for code, pk in ids.items() if code in NO_PATIENTS}
    return {
        "tag": SetColumn.of([_list_tags(row, ids) for row in rows]),
        "host": SetColumn.of([_list_hosts(row, ids.get(IDC.code)) for row in rows]),
        "no_patients": _column(
            int(row["is_synthetic"] or not no_patients.isdisjoint(row["tag_ids"])) for row in rows
        ),
    }


def _list_areas(row: Row) -> list[int]:
    return sorted({row["area_id"], *row["other_area_ids"]} - {None})


def _list_dimensions(row: Row) -> list[int]:
    return [DIMENSION_CODES[each] for each in row["dimensions"] or [UNKNOWN]]


def _list_labels(row: Row, blocks: ProfileBlocks) -> list[int]:
    """What a dataset is about, and the labels of its images."""
    found = set(row["own_label_ids"])
    if block := blocks.by_dataset.get(row["id"]):
        numbers = np.unique(block.profiles.label_set).tolist()
        found.update(*(blocks.label_sets[number] for number in numbers))
    return sorted(found)


def _list_availability(row: Row, blocks: ProfileBlocks) -> list[int]:
    """Where the files of a dataset's images are; one without images is listed only."""
    if block := blocks.by_dataset.get(row["id"]):
        return np.unique(block.profiles.local).tolist()
    return [AVAILABILITY_CODES[Availability.LISTED]]


def _list_licenses(row: Row, blocks: ProfileBlocks) -> list[int]:
    """The licence of a dataset, and those that its images have of their own."""
    block = blocks.by_dataset.get(row["id"])
    of_images = np.unique(block.profiles.license).tolist() if block else []
    return sorted({row["license_id"] or 0, *of_images} - {0})


def _list_tags(row: Row, ids: Mapping[str, int]) -> list[int]:
    """The tags of a dataset, and those that its facts say."""
    facts = [row["access"], *row["dimensions"]]
    codes = [_TAGS_OF_FACTS[fact] for fact in facts if fact in _TAGS_OF_FACTS]
    if row["is_synthetic"]:
        codes.append(SYNTHETIC)
    return sorted({*row["tag_ids"], *(ids[code] for code in codes if code in ids)})


def _list_hosts(row: Row, idc_tag: int | None) -> list[int]:
    """Who hosts the page of a dataset; its files may be in the Imaging Data Commons as well."""
    in_idc = [HOST_CODES[IDC.code]] if idc_tag in row["tag_ids"] else []
    return sorted({HOST_CODES[row["host"]], *in_idc})
