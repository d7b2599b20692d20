"""Filter sets as queries of the peers."""

import re
from urllib.parse import quote, urlencode

from benchmarks.filter_sets import FilterSet

ONE_VALUE = ("modality", "area", "sex", "age", "dataset", "local", "view", "kind", "license")
# The columns of the peers by the names of our filters.
LISTS = {"label": "labels", "task": "tasks", "tag": "tags"}
_TOTAL = re.compile(r"([\d,]+) rows?\b")


def datasette_path(filters: FilterSet, database: str, *, all_facets: bool) -> str | None:
    """The page that answers the same question; None where its URLs cannot ask it.

    Without ``all_facets`` it counts the nine facets of one value a row, which it is quick at, and
    not those of lists.
    """
    if not filters.is_plain or filters.next_page:
        return None
    asked: list[tuple[str, str]] = []
    for name in ONE_VALUE:
        values = filters.values(name)
        if len(values) == 1:
            asked.append((f"{name}__exact", values[0]))
        elif values:
            asked.append((f"{name}__in", ",".join(values)))
    for name, column in LISTS.items():
        values = filters.values(name)
        if len(values) > 1 and not (name == "label" and ("label_mode", "all") in filters.params):
            return None
        asked += [(f"{column}__arraycontains", value) for value in values]
    asked += [("labels__arraynotcontains", value) for value in filters.values("not_label")]
    facets = [("_facet", name) for name in ONE_VALUE]
    if all_facets:
        facets += [("_facet_array", column) for column in LISTS.values()]
    return f"/{quote(database)}/images?{urlencode([*asked, *facets, ('_size', '50')])}"


def datasette_total(body: str) -> int:
    """The number of rows that a page of Datasette says it has found."""
    found = _TOTAL.search(body)
    return int(found[1].replace(",", "")) if found else 0


def duckdb_where(filters: FilterSet, *, without: str) -> tuple[str, list[object]]:
    """The condition for a set that ``is_plain``, and its parameters."""
    parts, values = ["true"], list[object]()
    for name in ONE_VALUE:
        if name != without and (chosen := filters.values(name)):
            parts.append(f"list_contains(?, {name})")
            values.append(chosen)
    for name, column in LISTS.items():
        if name != without and (chosen := filters.values(name)):
            every = name == "label" and ("label_mode", "all") in filters.params
            parts.append(f"list_has_{'all' if every else 'any'}({column}, ?)")
            values.append(chosen)
    if chosen := filters.values("not_label"):
        parts.append("NOT list_has_any(labels, ?)")
        values.append(chosen)
    return " AND ".join(parts), values
