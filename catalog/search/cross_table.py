"""How many datasets there are of each area by each modality, so that one sees what is missing."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from catalog.search.columns import Mask
from catalog.search.filters import DatasetFilterSet
from catalog.search.query_strings import canonical_params, with_values
from vocab.text import TermRef

MAX_COLUMNS, MAX_ROWS = 10, 30


class Cell(NamedTuple):
    """The number of datasets, and the query string that finds them."""

    total: int
    query_string: str


class CrossTable(NamedTuple):
    """``rows`` are areas with a cell for each of ``modalities``; the most frequent come first."""

    modalities: Sequence[TermRef]
    rows: Sequence[tuple[TermRef, Sequence[Cell]]]
    more_modalities: int
    more_areas: int


def count_areas_by_modalities(filters: DatasetFilterSet) -> CrossTable:
    """The datasets that match but for their area and modality; each counts for what is broader.

    Chosen areas and modalities are shown even if they are rare.
    """
    rows = filters.rows(without={"area", "modality"})
    modalities, by_modality = _find_terms(filters, "modality", rows.mask)
    areas, by_area = _find_terms(filters, "area", rows.mask)
    counts = by_area[:MAX_ROWS].astype(np.int64) @ by_modality[:MAX_COLUMNS].astype(np.int64).T
    base = canonical_params(filters)
    return CrossTable(
        modalities[:MAX_COLUMNS],
        [
            (area, [Cell(int(count), with_values(base, area=area.code, modality=modality.code))
                    for modality, count in zip(modalities[:MAX_COLUMNS], line, strict=True)])
            for area, line in zip(areas[:MAX_ROWS], counts, strict=True)
        ],
        max(0, len(modalities) - MAX_COLUMNS),
        max(0, len(areas) - MAX_ROWS),
    )  # fmt: skip


def _find_terms(
    filters: DatasetFilterSet, vocabulary: str, mask: Mask | None
) -> tuple[list[TermRef], np.ndarray]:
    """Terms that datasets have, and for each term which datasets (terms, datasets)."""
    column = filters.snapshot.datasets.columns[vocabulary]
    everything = np.ones(len(filters.snapshot.datasets), dtype=np.bool_)
    wanted = everything if mask is None else mask
    refs: Iterable[TermRef] = filters.snapshot.vocabularies.terms[vocabulary].values()
    chosen = {ref.id for ref in filters.cleaned.get(vocabulary, ())}
    found = [(ref, column.any_of(ref.ids) & wanted) for ref in refs]
    found = [(ref, has) for ref, has in found if has.any()]
    found.sort(key=lambda each: (each[0].id not in chosen, -int(each[1].sum()), each[0].name))
    if not found:
        return [], np.zeros((0, len(everything)), dtype=np.bool_)
    return [ref for ref, _ in found], np.stack([has for _, has in found])
