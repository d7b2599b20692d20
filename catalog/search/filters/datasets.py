"""The filters of ``/datasets/``, and which datasets a query finds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from catalog.models import Dataset
from catalog.search.age_groups import match_ages
from catalog.search.columns import Mask, Rows, Table
from catalog.search.filter_choices import (
    ACCESS_CHOICES,
    ACCESS_CODES,
    DIMENSION_CHOICES,
    DIMENSION_CODES,
    HOST_CHOICES,
    HOST_CODES,
    LISTED_CHOICES,
    LISTED_CODES,
    OFFERED_YEARS,
    SIZE_CHOICES,
    SIZE_CODES,
    STATED_CHOICES,
    STATED_CODES,
    YEAR_CHOICES,
    YEAR_CODES,
)
from catalog.search.filters.base import CatalogFilterSet
from catalog.search.filters.column_filters import (
    ChoiceFilter,
    DatasetFilter,
    FilesFilter,
    QueryFilter,
    TermFilter,
)
from catalog.search.filters.images import ImageFilterSet
from catalog.search.full_text import Stems
from catalog.search.query import Match, ParsedQuery
from catalog.search.relevance import (
    FACTS,
    NOT_OF_DATASETS,
    Found,
    Results,
    find_datasets,
    has_number,
)
from catalog.search.snapshot import Snapshot


class DatasetFilterSet(CatalogFilterSet):
    """Filters of ``/datasets/``."""

    model = Dataset
    not_applicable = NOT_OF_DATASETS
    q = QueryFilter(label="Search")
    area = TermFilter("area", label="Area")
    modality = TermFilter("modality", label="Modality")
    task = TermFilter("task", label="Task")
    label = TermFilter("label", label="Finding")
    dimension = ChoiceFilter(
        "dimension", DIMENSION_CODES, choices=DIMENSION_CHOICES, what="one", label="Dimensions"
    )
    access = ChoiceFilter(
        "access", ACCESS_CODES, choices=ACCESS_CHOICES, what="a kind of access", label="Access"
    )
    license = TermFilter("license", label="Licence")
    license_stated = ChoiceFilter(
        "license_stated",
        STATED_CODES,
        choices=STATED_CHOICES,
        what="whether a licence is stated",
        label="Licence stated",
    )
    images = ChoiceFilter(
        "images", LISTED_CODES, choices=LISTED_CHOICES, what="a choice for images", label="Images"
    )
    local = FilesFilter()
    host = ChoiceFilter("host", HOST_CODES, choices=HOST_CHOICES, what="a host", label="Host")
    year = ChoiceFilter(
        "year",
        YEAR_CODES,
        choices=YEAR_CHOICES,
        what="a year",
        offered=OFFERED_YEARS,
        label="Year",
    )
    size = ChoiceFilter("size", SIZE_CODES, choices=SIZE_CHOICES, what="a size", label="Size")
    tag = TermFilter("tag", label="Tag")

    @staticmethod
    def table_of(snapshot: Snapshot) -> Table:
        return snapshot.datasets

    @cached_property
    def _whole_query(self) -> ParsedQuery:
        """As in the base class; datasets have no ages, so that "children" of "no children" counts.

        The number of "not under 18" is none that a text has.
        """
        query = self._typed_query
        negated = (m for m in query.matches if m.excluded and not has_number(m))
        query = query.with_words(*(m for m in negated if m.name in NOT_OF_DATASETS))
        # Only where nothing else is asked for are the ages of their images compared.
        return query if _asks_for_people_alone(query) else query.as_other_terms(NOT_OF_DATASETS)

    @cached_property
    def shown_query(self) -> ParsedQuery:
        """What is searched for: also views, names of datasets, and people if these are alone."""
        query = self._whole_query
        if _asks_for_people_alone(query):
            return query
        kept = tuple(match for match in query.matches if match.name not in NOT_OF_DATASETS)
        return replace(query, matches=kept)

    @cached_property
    def parsed_query(self) -> ParsedQuery:
        kept = tuple(m for m in self.shown_query.matches if m.name not in NOT_OF_DATASETS)
        return replace(self.shown_query, matches=kept).only(self.filters)

    @property
    def found(self) -> dict[int, Found] | None:
        """What the query finds, whatever the other filters are, by id; None without a query."""
        return self.results.datasets

    @property
    def idle_words(self) -> list[str]:
        """The excluded words that no dataset has, so that they exclude nothing."""
        return self.results.idle_words

    @property
    def stems(self) -> Stems:
        return self.results.stems

    @cached_property
    def results(self) -> Results:
        """What the query finds, and what it does not look for."""
        return find_datasets(
            self.shown_query,
            self.snapshot,
            holds=self._holds,
            image_masks=list(self._image_masks()),
        )

    def _holds(self, match: Match) -> Mask:
        """The datasets that have the terms of a match, themselves or in their images."""
        if match.name in self.filters:
            return self._ask(match)
        column = self.snapshot.datasets.columns["dataset"]
        of_images = ImageFilterSet.base_filters[match.name]
        if isinstance(of_images, DatasetFilter):
            return column.any_of(of_images.numbers(match.values))
        rows = Rows(self.snapshot.images).where(self._images_of(match))
        return column.any_of(rows.count().sums("dataset"))

    def _images_of(self, match: Match) -> Mask:
        """The profiles with images that a match selects."""
        table = self.snapshot.images
        if match.name == "age":
            assert table.ages is not None  # noqa: S101 - tells the type checker
            chosen = match_ages(table.ages.values, [tuple(match.values)])
            return table.ages.by_row(table.ages.weights, chosen, len(table)) > 0
        mask = ImageFilterSet.base_filters[match.name].filter(Rows(table), match.values).mask
        return np.ones(len(table), dtype=np.bool_) if mask is None else mask

    def _image_masks(self) -> Iterator[Mask]:
        """The images that the terms of the query select; years and access are none of theirs."""
        groups = self.shown_query.groups
        for group in (each for each in groups if each[0].name in ImageFilterSet.base_filters):
            yield np.logical_or.reduce([self._images_of(match) for match in group])

    @property
    def text_of_words(self) -> str:
        """The query without what no text can meet: the number of "after 2020" is no hit."""
        query = self.parsed_query
        return query.without(*(match for match in query.matches if match.name in FACTS))

    def missing_words(self, pk: int) -> Sequence[str]:
        """The words of the query that a dataset does not meet."""
        return self.found[pk].missing if self.found else ()

    @cached_property
    def num_partial(self) -> int:
        """How many of the matching datasets do not meet the whole query."""
        return sum(bool(self.missing_words(pk)) for pk in self.rows().ids().tolist())

    @property
    def ignored(self) -> list[Match]:
        """Parts of the query that do not apply to datasets, unless there are no others."""
        shown = self.shown_query.matches
        return [match for match in self._whole_query.matches if match not in shown]

    @property
    def words_of_images(self) -> list[str]:
        """The ages and sexes that are all that is asked for: those of the datasets' images."""
        query = self.shown_query
        is_alone = _asks_for_people_alone(query)
        return [match.words for match in query.matches] if is_alone else []

    @property
    def broken_ors(self) -> list[str]:
        """As in the base class; also beside ages and sexes that are not asked for."""
        query = self._whole_query
        return query.find_broken_ors([*query.groups, *query.word_groups])

    @cached_property
    def masks(self) -> dict[str, Mask]:
        masks = super().masks
        if self.found is not None:
            masks["q"] = self.snapshot.datasets.columns["dataset"].any_of(self.found)
        return masks


def _asks_for_people_alone(query: ParsedQuery) -> bool:
    return not query.words and all(match.name in NOT_OF_DATASETS for match in query.matches)
