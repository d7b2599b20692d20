"""The kinds of filters: which values of a column they let through."""

from collections.abc import Iterable, Mapping
from typing import Any

import django_filters as filters

from catalog.search.columns import Mask, Rows, Table
from catalog.search.filter_fields import (
    ChoicesField,
    DatasetsField,
    ImageIdsField,
    QueryField,
    SingleChoiceField,
    TermsField,
)


class ColumnFilter(filters.Filter):
    """Any of the chosen values of a column."""

    def __init__(self, column: str, **extra: Any) -> None:
        self.column = column
        super().__init__(**extra)

    def filter(self, qs: Rows, value: Any) -> Rows:
        if not value:
            return qs
        mask = self.mask(qs.table, self.numbers(value))
        return qs.where(~mask if self.exclude else mask)

    def mask(self, table: Table, numbers: Iterable[int]) -> Mask:
        return table.columns[self.column].any_of(numbers)

    def numbers(self, value: Iterable[Any]) -> list[int]:
        """The cleaned values as they stand in the column."""
        return [item.id for item in value]


class TermFilter(ColumnFilter):
    """Any of the chosen terms."""

    field_class = TermsField

    def __init__(self, vocabulary: str, **extra: Any) -> None:
        super().__init__(vocabulary, vocabulary=vocabulary, **extra)


class DatasetFilter(ColumnFilter):
    field_class = DatasetsField


class ChoiceFilter(ColumnFilter):
    """Any of the chosen values out of a fixed list; ``codes`` are their numbers in the column."""

    field_class = ChoicesField

    def __init__(self, column: str, codes: Mapping[str, int], **extra: Any) -> None:
        self.codes = codes
        super().__init__(column, **extra)

    def numbers(self, value: Iterable[Any]) -> list[int]:
        return [self.codes[code] for code in value]


class ReadByTheSet(filters.Filter):
    """A parameter that is understood here and acted on by the filter set as a whole."""

    def filter(self, qs: Rows, value: Any) -> Rows:
        return qs


class ModeFilter(ReadByTheSet):
    """Says how another parameter is read."""

    field_class = SingleChoiceField


class QueryFilter(ReadByTheSet):
    """The search box."""

    field_class = QueryField


class PickedFilter(ReadByTheSet):
    """Single images by id: it narrows images and not profiles."""

    field_class = ImageIdsField
