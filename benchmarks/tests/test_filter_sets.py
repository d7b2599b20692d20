"""Random filter sets, and the same questions in the languages of the peers."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from benchmarks.filter_sets import FACETS, FilterSet, Profile, draw_filter_sets
from benchmarks.peer_queries import datasette_path, datasette_total, duckdb_where

CT = Profile({"modality": ("ct",), "area": ("chest",), "dataset": ("lidc",)}, 900)
XRAY = Profile(
    {
        "modality": ("dx",),
        "area": ("chest",),
        "dataset": ("nih",),
        "label": ("mass", "nodule"),
        "sex": ("F",),
    },
    100,
)


def draw(count: int = 300, seed: int = 1) -> list[FilterSet]:
    return draw_filter_sets([CT, XRAY], count=count, seed=seed)


def asked_of_datasette(*params: tuple[str, str]) -> list[tuple[str, str]]:
    path = datasette_path(FilterSet(params), "rows", all_facets=True)
    assert path is not None
    return [pair for pair in parse_qsl(urlsplit(path).query) if not pair[0].startswith("_")]


def test_the_same_seed_gives_the_same_sets() -> None:
    assert draw() == draw()
    assert draw(seed=1) != draw(seed=2)


def test_every_value_is_one_that_the_catalog_holds() -> None:
    held = {(name, code) for each in (CT, XRAY) for name in each.values
            for code in each.values[name]}  # fmt: skip
    used = {(name, code) for each in draw() for name, code in each.params if name in FACETS}

    assert used == held


def test_frequent_values_are_drawn_more_often() -> None:
    modalities = [code for each in draw() for code in each.values("modality")]

    assert modalities.count("ct") > 3 * modalities.count("dx") > 0


def test_sets_are_of_all_kinds() -> None:
    sets = draw(count=1000)
    facets = [len({name for name, _ in each.params if name in FACETS}) for each in sets]

    assert min(facets) == 0
    assert max(facets) == 4
    assert any(len(each.values("modality")) > 1 for each in sets)
    assert any(("label_mode", "all") in each.params for each in sets)
    assert any(each.values("not_label") for each in sets)
    assert any(each.next_page for each in sets)
    assert any(not each.is_plain for each in sets)


def test_no_value_stands_twice() -> None:
    assert all(len(set(each.params)) == len(each.params) for each in draw(count=1000))


def test_a_set_is_the_address_of_a_page() -> None:
    filters = FilterSet((("q", "lung CT"), ("sex", "F")))

    assert FilterSet(()).path() == "/images/"
    assert filters.path() == "/images/?q=lung+CT&sex=F"
    assert filters.path("after-1-2") == "/images/?q=lung+CT&sex=F&page=after-1-2"


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


@pytest.mark.parametrize(("all_facets", "count"), [(True, len(FACETS)), (False, 7)])
def test_datasette_is_asked_for_facets(all_facets: bool, count: int) -> None:
    path = datasette_path(FilterSet(()), "rows", all_facets=all_facets) or ""
    facets = [name for name, _ in parse_qsl(urlsplit(path).query) if name.startswith("_facet")]

    assert len(facets) == count


@pytest.mark.parametrize(
    "filters",
    [
        FilterSet((("label", "mass"), ("label", "nodule"))),
        FilterSet((("tag", "2d"), ("tag", "3d"))),
        FilterSet((("q", "lung"),)),
        FilterSet((), next_page=True),
    ],
)
def test_what_datasette_cannot_be_asked_is_left_out(filters: FilterSet) -> None:
    assert datasette_path(filters, "rows", all_facets=True) is None


def test_the_number_of_rows_is_read_from_a_page_of_datasette() -> None:
    assert datasette_total("<h3>1,044,191 rows where modality = ct</h3>") == 1_044_191
    assert datasette_total("<h3>1 row where id = 3</h3>") == 1
    assert datasette_total("<p>nothing</p>") == 0


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
