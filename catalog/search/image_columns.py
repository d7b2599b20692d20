"""Makes the table of profiles that filters and facets of images look into."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from catalog.models import Availability
from catalog.search.columns import Column, Grouping, Ints, Parts, SetColumn, Table
from catalog.search.filter_choices import AVAILABILITY_CODES, KIND_CODES
from catalog.search.profile_blocks import AgeColumns, ProfileBlocks, ProfileColumns
from vocab.models import Kind

Columns = Mapping[str, Column | SetColumn]
Places = NDArray[np.int32]
_Joined = TypeVar("_Joined", ProfileColumns, AgeColumns)


def make_images(datasets: Table, blocks: ProfileBlocks, kinds: Mapping[int, str]) -> Table:
    """All profiles in the order of their ids, with columns of their datasets.

    ``kinds`` are those of modalities by id.
    """
    places = [i for i, pk in enumerate(datasets.ids.tolist()) if pk in blocks.by_dataset]
    found = [blocks.by_dataset[int(datasets.ids[i])] for i in places]
    sizes = [len(block.profiles.id) for block in found]
    joined = _join(ProfileColumns, [block.profiles for block in found])
    order = np.argsort(joined.id, kind="stable")
    ages = _make_ages(_join(AgeColumns, [block.ages for block in found]), joined.num_ages, order)
    profiles = ProfileColumns._make(column[order] for column in joined)
    place = np.repeat(np.array(places, dtype=np.int32), sizes)[order]
    columns = _make_columns(profiles, blocks.label_sets, datasets, place, kinds)
    # Most profiles of a dataset differ by their labels alone.
    others = {name: column for name, column in columns.items() if name != "label"}
    groups = Grouping.of(others, profiles.num_images)
    return Table(profiles.id, columns, profiles.num_images, profiles.num_bytes, ages, groups)


def _join(kind: type[_Joined], parts: Sequence[_Joined]) -> _Joined:
    """The columns of all parts, one below the other."""
    empty = kind._make([np.zeros(0, dtype=np.int64)] * len(kind._fields))
    return kind._make(np.concatenate(columns) for columns in zip(empty, *parts, strict=True))


def _make_ages(joined: AgeColumns, num_ages: Ints, order: Ints) -> Parts:
    """The ages of all profiles; these, with ``num_ages`` of them, are put into ``order``."""
    new_places = np.empty_like(order)
    new_places[order] = np.arange(len(order))
    return Parts(np.repeat(new_places, num_ages), joined.ages, joined.age_images, joined.age_bytes)


def _make_columns(
    profiles: ProfileColumns,
    label_sets: Sequence[Sequence[int]],
    datasets: Table,
    place: Places,
    kinds: Mapping[int, str],
) -> Columns:
    """``place`` is where in ``datasets`` each profile's own is."""
    modality = Column.of(profiles.modality)
    local = Column.of(profiles.local)
    kind = _make_kind(modality, kinds)
    return {
        "area": Column.of(profiles.area),
        "modality": modality,
        "label": SetColumn.of(label_sets, profiles.label_set.astype(np.int32)),
        "sex": Column.of(profiles.sex),
        "age": Column.of(profiles.age),
        "local": local,
        "view": Column.of(profiles.view),
        **{name: datasets.columns[name].through(place) for name in ("dataset", "task", "tag")},
        "license": _own_or_of_dataset(profiles.license, datasets.columns["own_license"], place),
        "kind": kind,
        "rank": _make_rank(local, kind, datasets.columns["no_patients"], place),
    }


def _own_or_of_dataset(own: Ints, of_datasets: Column | SetColumn, place: Places) -> Column:
    """The licences of images: their own where they have one, else that of their dataset."""
    assert isinstance(of_datasets, Column)  # noqa: S101 - tells the type checker
    given = of_datasets.through(place)
    return Column.of(np.where(own > 0, own, given.values[given.codes]))


def _make_kind(modality: Column, kinds: Mapping[int, str]) -> Column:
    """The kinds of images by their modalities; one without a modality is taken for a picture."""
    known = [KIND_CODES[kinds.get(pk, Kind.PICTURE)] for pk in modality.values.tolist()]
    return Column.of(np.array(known, dtype=np.int64)[modality.codes])


def _make_rank(
    local: Column, kind: Column, no_patients: Column | SetColumn, place: Places
) -> Column:
    """The rank of each profile in ``catalog.search.order``, from 0."""
    here = local.any_of([AVAILABILITY_CODES[Availability.HERE]])
    pictures = kind.any_of([KIND_CODES[Kind.PICTURE]])
    of_patients = no_patients.any_of([0])[place]
    return Column.of(4 * ~here + 2 * ~pictures + 1 * ~of_patients)
