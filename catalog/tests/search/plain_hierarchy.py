"""What filters by areas and modalities ask, in plain SQL over a random catalog with a hierarchy."""

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.http import QueryDict
from hypothesis import strategies as st

from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from vocab.models import AnatomicalArea, Modality
from vocab.tests.factories import AreaFactory, ModalityFactory

AREAS = tuple(f"a{number}" for number in range(6))
MODALITIES = tuple(f"m{number}" for number in range(5))
SEXES = ("", "F", "M")
Query = dict[str, list[str]]

# Each term with itself and all above it, whatever is active.
_UP = """
    {name} AS (
        SELECT id AS low, id AS high FROM {table}
         UNION
        SELECT {name}.low, t.broader_id FROM {name} JOIN {table} t ON t.id = {name}.high
         WHERE t.broader_id IS NOT NULL)
"""
_WITH = f"""
    WITH RECURSIVE {_UP.format(name="areas", table="vocab_anatomicalarea")},
    {_UP.format(name="modalities", table="vocab_modality")}
"""
# {term} is the id of the row's own term; the parameters are codes with and codes without narrower.
_ANY = """
    EXISTS (SELECT FROM {name} JOIN {table} low ON low.id = {name}.low AND low.is_active
              JOIN {table} high ON high.id = {name}.high AND high.is_active
             WHERE {{term}} AND (high.code = ANY(%s) OR low.id = high.id AND low.code = ANY(%s)))
"""
_AREA = _ANY.format(name="areas", table="vocab_anatomicalarea")
_MODALITY = _ANY.format(name="modalities", table="vocab_modality")
IMAGES = {
    "area": _AREA.format(term="low.id = coalesce(i.area_id, d.area_id)"),
    "modality": _MODALITY.format(term="low.id = i.modality_id"),
    "sex": "CASE i.sex WHEN '' THEN 'unknown' ELSE i.sex END = ANY(%s)",
}
DATASETS = {
    "area": _AREA.format(term="low.id = d.area_id"),
    "modality": _MODALITY.format(
        term="low.id IN (SELECT modality_id FROM catalog_dataset_modalities"
        " WHERE dataset_id = d.id)"
    ),
}


def ask_images(query: Query) -> list[int]:
    """Ids of images, ascending."""
    return _ask(
        "SELECT i.id FROM catalog_image i JOIN catalog_dataset d"
        " ON d.id = i.dataset_id AND d.is_active WHERE i.removed_at IS NULL",
        IMAGES,
        query,
        "ORDER BY i.id",
    )


def ask_datasets(query: Query) -> list[int]:
    return _ask(
        "SELECT d.id FROM catalog_dataset d WHERE d.is_active", DATASETS, query, "ORDER BY d.id"
    )


def _ask(select: str, where: dict[str, str], query: Query, order: str) -> list[int]:
    parts, params = [_WITH, select], []
    for name, values in query.items():
        if values:
            parts.append(f"AND {where[name]}")
            params += [values] if name == "sex" else _split(values)
    with connection.cursor() as cursor:
        cursor.execute(" ".join([*parts, order]), params)
        return [row[0] for row in cursor.fetchall()]


def _split(values: Sequence[str]) -> list[list[str]]:
    alone = [value.removesuffix("~only") for value in values if value.endswith("~only")]
    return [[value for value in values if not value.endswith("~only")], alone]


def as_params(query: Query) -> QueryDict:
    params = QueryDict(mutable=True)
    for name, values in query.items():
        params.setlist(name, values)
    return params


# Each term's broader one is an earlier term, by its place, or none; and whether it is active.
def trees(codes: Sequence[str]) -> Any:
    places = [st.none() | st.integers(0, n - 1) if n else st.none() for n in range(len(codes))]
    active = st.lists(st.sampled_from([True, True, True, False]), min_size=len(codes),
                      max_size=len(codes))  # fmt: skip
    return st.tuples(st.tuples(*places), active)


def _values(codes: Sequence[str]) -> Any:
    every = [*codes, *(f"{code}~only" for code in codes)]
    return st.lists(st.sampled_from(every), unique=True, max_size=3)


queries = st.fixed_dictionaries(
    {}, optional={"area": _values(AREAS), "modality": _values(MODALITIES)}
)
image_queries = st.fixed_dictionaries(
    {},
    optional={"area": _values(AREAS), "modality": _values(MODALITIES),
              "sex": st.lists(st.sampled_from(["F", "M", "unknown"]), unique=True, max_size=2)},
)  # fmt: skip


def plant(
    model: Any, codes: Sequence[str], tree: tuple[tuple[int | None, ...], list[bool]]
) -> None:
    """Give the terms this hierarchy, and hide some of them."""
    terms = {term.code: term for term in model.objects.all()}
    model.objects.update(broader=None)
    for code, place, is_active in zip(codes, *tree, strict=True):
        above = None if place is None else terms[codes[place]]
        model.objects.filter(code=code).update(broader=above, is_active=is_active)


def plant_both(areas: Any, modalities: Any) -> None:
    plant(AnatomicalArea, AREAS, areas)
    plant(Modality, MODALITIES, modalities)


def make_catalog() -> None:
    """Datasets and images with any combination of areas and modalities, and with none."""
    areas = [None, *(AreaFactory(code=code) for code in AREAS)]
    modalities = [None, *(ModalityFactory(code=code) for code in MODALITIES)]
    for number in range(5):
        some = {modalities[1 + number], modalities[1 + (number * 3 + 1) % 5]}
        dataset = DatasetFactory(
            slug=f"d{number}", area=areas[number], terms__modalities=list(some)
        )
        for place in range(9):
            ImageFactory(
                dataset=dataset,
                area=areas[(number + place * 5) % 7],
                modality=modalities[(number * 2 + place) % 6],
                sex=SEXES[place % 3],
            )
    make_searchable()
