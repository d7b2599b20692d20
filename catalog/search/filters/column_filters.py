"""The filters over columns that filter sets are made of."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any, Self

import django_filters as filters

from catalog.search.columns import Mask, Rows, Table
from catalog.search.filter_choices import ANY_KIND, FILE_CHOICES, FILE_CODES, FILE_SPELLINGS
from catalog.search.filters.fields import (
    AgeLimitField,
    ChoicesField,
    DatasetsField,
    ImageIdsField,
    QueryField,
    SingleChoiceField,
    TermsField,
)


class SharedField(filters.Filter):
    """Each filter set has a copy of its filters; their fields are made once for all of them.

    A form copies the fields that it is made of, so that nobody changes these.
    """

    def __deepcopy__(self, memo: Any) -> Self:
        copied = copy(self)
        copied._field = self.field
        return copied


class ColumnFilter(SharedField):
    """Rows with any of the chosen values of a column."""

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
        """The numbers of the cleaned values in the column."""
        return [item.id for item in value]


class TermFilter(ColumnFilter):
    """Rows with any of the chosen terms, or of what is narrower."""

    field_class = TermsField

    def __init__(self, vocabulary: str, **extra: Any) -> None:
        super().__init__(vocabulary, vocabulary=vocabulary, **extra)

    def numbers(self, value: Iterable[Any]) -> list[int]:
        return [pk for item in value for pk in item.ids]


class DatasetFilter(ColumnFilter):
    field_class = DatasetsField


class ChoiceFilter(ColumnFilter):
    """Rows with any of the chosen values from a fixed list; ``codes`` are the column's numbers.

    ``spellings`` are values that stand for several of them.
    """

    field_class = ChoicesField

    def __init__(
        self,
        column: str,
        codes: Mapping[str, int],
        *,
        spellings: Mapping[str, Sequence[str]] | None = None,
        **extra: Any,
    ) -> None:
        self.codes = codes
        self.spellings = spellings or {}
        super().__init__(column, spellings=self.spellings, **extra)

    def numbers(self, value: Iterable[Any]) -> list[int]:
        return [self.codes[each] for code in value for each in self.spellings.get(code, (code,))]


class FilesFilter(ChoiceFilter):
    """Where files are; a dataset is where any of its images is, and listed only without images."""

    def __init__(self) -> None:
        super().__init__(
            "local",
            FILE_CODES,
            spellings=FILE_SPELLINGS,
            choices=FILE_CHOICES,
            what="a choice for files",
            label="Files",
        )


class KindFilter(ChoiceFilter):
    """Kinds of objects, or all of them."""

    def filter(self, qs: Rows, value: Any) -> Rows:
        return qs if ANY_KIND in value else super().filter(qs, value)


class ReadByTheSet(SharedField):
    """A parameter that only the filter set as a whole can apply; its field checks it."""

    def filter(self, qs: Rows, value: Any) -> Rows:
        return qs


class ModeFilter(ReadByTheSet):
    """How another parameter is applied: any or all."""

    field_class = SingleChoiceField


class QueryFilter(ReadByTheSet):
    """The search box."""

    field_class = QueryField


class AgeLimitFilter(ReadByTheSet):
    """The first or the last age of a range, which may split profiles."""

    field_class = AgeLimitField


class PickedFilter(ReadByTheSet):
    """Single images by id; filters images, not profiles."""

    field_class = ImageIdsField
