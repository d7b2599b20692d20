"""The image profiles of each dataset as columns; read again only where a dataset has changed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from django.db import connection

from catalog.ages import UNKNOWN_AGE
from catalog.search import queries
from catalog.search.columns import Ints
from catalog.search.filter_choices import AVAILABILITY_CODES, SEX_CODES


class ProfileColumns(NamedTuple):
    """Profiles as columns of equal length, named as in ``queries.PROFILES``.

    ``label_set`` is a number of ``ProfileBlocks.label_sets``; ``num_ages`` is how many of the
    ``AgeColumns`` belong to each profile.
    """

    id: Ints
    area: Ints
    modality: Ints
    label_set: Ints
    sex: Ints
    age: Ints
    local: Ints
    license: Ints
    view: Ints
    num_images: Ints
    num_bytes: Ints
    num_ages: Ints


class AgeColumns(NamedTuple):
    """Completed ages within profiles, in the order of these, and what has each age."""

    ages: Ints
    age_images: Ints
    age_bytes: Ints


class Block(NamedTuple):
    """The profiles of one dataset, in ascending order of ids, and the ages within them."""

    profiles: ProfileColumns
    ages: AgeColumns


class ProfileBlocks:
    """The block of each dataset that has images; equal sets of labels are stored once."""

    def __init__(self) -> None:
        self.by_dataset: dict[int, Block] = {}
        self.label_sets: list[list[int]] = []
        self._label_set_numbers: dict[str, int] = {}

    def keep_only(self, dataset_ids: Collection[int]) -> None:
        """Drop the blocks of all other datasets."""
        for pk in self.by_dataset.keys() - set(dataset_ids):
            del self.by_dataset[pk]

    def load(self, dataset_ids: Iterable[int]) -> None:
        """Read the profiles of these datasets, again where they are known."""
        wanted = sorted(dataset_ids)
        for pk in wanted:
            self.by_dataset.pop(pk, None)
        if not (read := _read_profiles(wanted)):
            return
        dataset_ids_by_row = np.array(read.pop("dataset_id"), dtype=np.int64)
        ages = {name: read.pop(name) for name in AgeColumns._fields}
        profiles = {
            name: np.array(values, dtype=np.int64) for name, values in self._encode(read).items()
        }
        owners, starts = np.unique(dataset_ids_by_row, return_index=True)
        ends = [*starts[1:].tolist(), len(dataset_ids_by_row)]
        for pk, start, end in zip(owners.tolist(), starts.tolist(), ends, strict=True):
            self.by_dataset[pk] = Block(
                ProfileColumns(**{name: column[start:end] for name, column in profiles.items()}),
                AgeColumns(**{name: _parse_numbers(texts[start:end])
                              for name, texts in ages.items()}),
            )  # fmt: skip

    def _encode(self, read: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[int]]:
        """The columns that were read, with numbers for all values."""
        return {
            **read,
            "label_set": [self._intern(text) for text in read["label_set"]],
            "sex": [SEX_CODES[code] for code in read["sex"]],
            "local": [AVAILABILITY_CODES[code] for code in read["local"]],
        }

    def _intern(self, text: str) -> int:
        """The number of a set of labels; ``text`` is a PostgreSQL array such as ``{3,14}``."""
        if text not in self._label_set_numbers:
            self._label_set_numbers[text] = len(self.label_sets)
            inner = text.strip("{}")
            self.label_sets.append([int(part) for part in inner.split(",")] if inner else [])
        return self._label_set_numbers[text]


def _read_profiles(dataset_ids: list[int]) -> dict[str, Sequence[Any]]:
    """The columns of the query by their names; empty if there are no rows."""
    with connection.cursor() as cursor:
        cursor.execute(queries.PROFILES, [UNKNOWN_AGE, dataset_ids])
        names = [column.name for column in cursor.description]
        rows = cursor.fetchall()
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}


def _parse_numbers(texts: Sequence[str]) -> Ints:
    """The numbers of texts such as ``780,792``, without a Python object for each of a million."""
    return np.fromstring(",".join(texts), dtype=np.int64, sep=",")
