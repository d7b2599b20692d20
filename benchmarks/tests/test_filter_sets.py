"""Random filter sets, and the same queries for the peers."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from benchmarks.filter_sets import FACETS, FilterSet, Profile, draw_filter_sets
from benchmarks.peer_queries import datasette_path, duckdb_where

CT = Profile(
    {"modality": ("ct",), "area": ("chest",), "dataset": ("lidc",), "kind": ("picture",)}, 900
)
XRAY = Profile(
    {
        "modality": ("dx",),
        "area": ("chest",),
        "dataset": ("nih",),
        "label": ("mass", "nodule"),
        "sex": ("F",),
        "kind": ("picture",),
    },
    100,
)


def asked_of_datasette(*params: tuple[str, str]) -> list[tuple[str, str]]:
    path = datasette_path(FilterSet(params), "rows", all_facets=True)
    assert path is not None
    return [pair for pair in parse_qsl(urlsplit(path).query) if not pair[0].startswith("_")]


def test_every_value_is_one_that_the_catalog_holds() -> None:
    sets = draw_filter_sets([CT, XRAY], count=300, seed=1)
    held = {(name, code) for each in (CT, XRAY) for name in each.values
            for code in each.values[name]}  # fmt: skip
    used = {
        (name, code) for each in sets for name, code in each.params if name in (*FACETS, "kind")
    }

    assert used == held


def test_datasette_is_asked_the_same() -> None:
    assert asked_of_datasette(("modality", "ct"), ("sex", "F")) == [
        ("modality__exact", "ct"),
        ("sex__exact", "F"),
    ]
    assert asked_of_datasette(("area", "chest"), ("area", "brain")) == [("area__in", "chest,brain")]
    assert asked_of_datasette(("label", "mass"), ("not_label", "nodule")) == [
        ("labels__arraycontains", "mass"),
        ("labels__arraynotcontains", "nodule"),
    ]
    both = asked_of_datasette(("label", "mass"), ("label", "nodule"), ("label_mode", "all"))
    assert both == [("labels__arraycontains", "mass"), ("labels__arraycontains", "nodule")]


@pytest.mark.parametrize(
    "filters",
    [
        FilterSet((("label", "mass"), ("label", "nodule"))),
        FilterSet((("tag", "2d"), ("tag", "3d"))),
        FilterSet((("q", "lung"),)),
        FilterSet((), next_page=True),
    ],
)
def test_what_datasette_cannot_be_asked_is_excluded(filters: FilterSet) -> None:
    assert datasette_path(filters, "rows", all_facets=True) is None


def test_duckdb_is_asked_the_same() -> None:
    filters = FilterSet((("modality", "ct"), ("modality", "mr"), ("label", "mass"),
                         ("not_label", "nodule")))  # fmt: skip

    assert duckdb_where(filters, without="") == (
        "true AND list_contains(?, modality) AND list_has_any(labels, ?)"
        " AND NOT list_has_any(labels, ?)",
        [["ct", "mr"], ["mass"], ["nodule"]],
    )
    assert duckdb_where(filters, without="modality")[1] == [["mass"], ["nodule"]]


def test_duckdb_wants_all_labels_where_we_do() -> None:
    filters = FilterSet((("label", "mass"), ("label", "nodule"), ("label_mode", "all")))

    assert "list_has_all(labels, ?)" in duckdb_where(filters, without="")[0]
