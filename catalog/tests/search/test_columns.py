"""Columns held against a plain reading of the same rows."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain, combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from catalog.search.columns import Column, Grouping, Rows, SetColumn, Table

small = st.integers(0, 6)
rows_of_values = st.lists(
    st.tuples(small, st.frozensets(small, max_size=3), st.integers(0, 10**12)), max_size=12
)

groupings = st.sampled_from(
    [*chain.from_iterable(combinations(("one", "bytes", "many"), n) for n in range(4))]
)


def make_table(
    rows: list[tuple[int, frozenset[int], int]], grouped_by: Iterable[str] = ()
) -> Table:
    weights = np.array([weight for _, _, weight in rows], dtype=np.int64)
    one = np.array([value for value, _, _ in rows], dtype=np.int64)
    columns: dict[str, Column | SetColumn] = {
        "one": Column.of(one),
        "bytes": Column.of(weights % 7),
        "many": SetColumn.of([sorted(v) for _, v, _ in rows]),
    }
    groups = Grouping.of({name: columns[name] for name in grouped_by}, weights)
    ids = np.arange(100, 100 + len(rows))
    return Table(ids, columns, weights, weights, groups=groups if grouped_by else None)


@given(rows=rows_of_values, wanted=st.sets(small), also=st.sets(small), grouped_by=groupings)
def test_filters_and_sums_are_those_of_a_plain_loop(
    rows: list[tuple[int, frozenset[int], int]],
    wanted: set[int],
    also: set[int],
    grouped_by: tuple[str, ...],
) -> None:
    table = make_table(rows, grouped_by)
    one, many = table.columns["one"], table.columns["many"]
    assert isinstance(many, SetColumn)
    assert one.any_of(wanted).tolist() == [value in wanted for value, _, _ in rows]
    assert many.any_of(wanted).tolist() == [bool(values & wanted) for _, values, _ in rows]
    assert many.all_of(wanted).tolist() == [values >= wanted for _, values, _ in rows]

    chosen = Rows(table).where(one.any_of(wanted)).where(~many.any_of(also))
    kept = [row for row in rows if row[0] in wanted and not row[1] & also]
    counted = chosen.count()
    assert counted.total == sum(weight for _, _, weight in kept)
    ones: Counter[int] = Counter()
    sets: Counter[int] = Counter()
    for value, values, weight in kept:
        ones[value] += weight
        sets.update(dict.fromkeys(values, weight))
    assert counted.sums("one") == {value: n for value, n in ones.items() if n}
    pairs: Counter[tuple[int, int]] = Counter()
    for value, _, weight in kept:
        pairs[value, weight % 7] += weight
    sums = counted.sums_by("one", "bytes")
    found = {(first, second): n for first, of in sums.items() for second, n in of.items()}
    assert found == {pair: n for pair, n in pairs.items() if n}
    assert counted.sums("many") == {value: n for value, n in sets.items() if n}


@given(rows=rows_of_values, wanted=st.sets(small), low=small, grouped_by=groupings)
def test_a_row_counts_once_for_a_group_of_values(
    rows: list[tuple[int, frozenset[int], int]],
    wanted: set[int],
    low: int,
    grouped_by: tuple[str, ...],
) -> None:
    table = make_table(rows, grouped_by)
    chosen = Rows(table).where(table.columns["one"].any_of(range(low, 7)))
    for counted, kept in (
        (Rows(table).count(), rows),
        (chosen.count(), [row for row in rows if row[0] >= low]),
    ):
        ones = sum(weight for value, _, weight in kept if value in wanted)
        many = sum(weight for _, values, weight in kept if values & wanted)
        assert counted.sums_of_any("one", {9: sorted(wanted)}) == ({9: ones} if ones else {})
        assert counted.sums_of_any("many", {9: sorted(wanted)}) == ({9: many} if many else {})


@given(rows=rows_of_values, places=st.lists(st.integers(0, 11), max_size=8))
def test_a_column_can_be_mapped_to_another_table(
    rows: list[tuple[int, frozenset[int], int]], places: list[int]
) -> None:
    places = [place for place in places if place < len(rows)]
    table = make_table(rows)
    through = np.array(places, dtype=np.int32)
    weights = np.ones(len(places), dtype=np.int64)
    assert table.columns["one"].through(through).sums(None, weights) == Counter(
        rows[place][0] for place in places
    )
    assert table.columns["many"].through(through).sums(None, weights) == Counter(
        value for place in places for value in rows[place][1]
    )


def test_rows_are_grouped_by_more_columns_than_fit_into_one_number() -> None:
    first, last = np.array([0, 1, 2, 2]), np.array([0, 1, 2, 3])
    columns = {f"{number}": Column.of(first) for number in range(50)} | {"last": Column.of(last)}
    groups = Grouping.of(columns, np.array([5, 6, 7, 8]))
    assert groups.table.weights[groups.codes].tolist() == [5, 6, 7, 8]


def test_rows_in_an_empty_table_count_nothing() -> None:
    counted = Rows(make_table([])).count()
    assert (counted.total, counted.sums("one"), counted.sums("many")) == (0, {}, {})
