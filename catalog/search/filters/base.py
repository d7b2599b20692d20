"""What both filter sets share."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import django_filters as filters
import numpy as np
from django.db.models import Model
from django.http import QueryDict

from catalog.ages import range_of_limits
from catalog.models import Image
from catalog.search.columns import Counted, Mask, Rows, Table
from catalog.search.filter_choices import NEUTRAL_PARAMETERS, ActiveFilter
from catalog.search.filters.column_filters import ReadByTheSet
from catalog.search.filters.fields import RepeatedField
from catalog.search.full_text import Stems, find_stems
from catalog.search.query import Match, ParsedQuery, Word, parse_query, remove_matches
from catalog.search.query.doubts import list_doubts
from catalog.search.snapshot import Snapshot, current_snapshot
from vocab.lookup import HIERARCHIES
from vocab.text import TermRef


class CatalogFilterSet(filters.FilterSet):
    """Strict validation, the rows that match, and the active filters as text.

    ``model`` is what is listed. Filter sets that must agree are given the same ``snapshot``.
    """

    model: type[Model]
    # Filters that search text may name and this set ignores: datasets have no sex.
    not_applicable: Collection[str] = ()

    def __init__(self, data: QueryDict, *, snapshot: Snapshot | None = None) -> None:
        self.snapshot = snapshot or current_snapshot()
        self.all_rows = Rows(self.table_of(self.snapshot))
        super().__init__(data=data, queryset=self.model._default_manager.none())
        for field in self.form.fields.values():
            if isinstance(field, RepeatedField):
                field.snapshot = self.snapshot

    def with_params(self, params: QueryDict) -> Self:
        """The filter set of other parameters, in the same snapshot; knows the rows of this one."""
        changed = type(self)(params, snapshot=self.snapshot)
        changed._known_masks = self._known_masks
        return changed

    @staticmethod
    def table_of(snapshot: Snapshot) -> Table:
        """The table whose rows are filtered."""
        raise NotImplementedError

    @cached_property
    def problems(self) -> list[str]:
        """A sentence for each parameter that was not understood."""
        unknown = [
            f"There is no filter called “{name[:60]}”. Remove it from the address."
            for name in self.data
            if name not in self.filters and not self._is_neutral(name)
        ]
        wrong = [
            f"{self.filters[name].label}: {message}"
            for name, messages in self.form.errors.items()
            for message in messages
        ]
        return unknown + wrong

    @staticmethod
    def _is_neutral(name: str) -> bool:
        return name in NEUTRAL_PARAMETERS or name.startswith("utm_")

    @cached_property
    def cleaned(self) -> Mapping[str, Any]:
        return {} if self.problems else self.form.cleaned_data

    def rows(self, *, without: Collection[str] = ()) -> Rows:
        """The rows that match, ignoring the filters named in ``without``."""
        rows = self.all_rows
        if self.problems:
            return rows.none()
        for name, mask in self.masks.items():
            if name not in without:
                rows = rows.where(mask)
        return rows

    @cached_property
    def masks(self) -> dict[str, Mask]:
        """The matching rows of each active filter, by its name."""
        masks = {}
        for name, value in self.cleaned.items():
            if value and not isinstance(self.filters[name], ReadByTheSet):
                masks[name] = self._find_mask(name, value)
        return masks

    def _find_mask(self, name: str, values: Collection[Any]) -> Mask:
        """The rows that one filter by these values leaves."""
        key = (name, *values)
        if key not in self._known_masks:
            self._known_masks[key] = self.filters[name].filter(self.all_rows, values).mask
        return self._known_masks[key]

    @cached_property
    def _known_masks(self) -> dict[tuple[Any, ...], Mask]:
        return {}

    def count(self, *, without: Collection[str] = ()) -> Counted:
        """Matching rows with their weights, ignoring the filters named in ``without``."""
        ignored = frozenset(without)
        if ignored not in self._counts:
            self._counts[ignored] = self._count(ignored)
        return self._counts[ignored]

    @cached_property
    def _counts(self) -> dict[frozenset[str], Counted]:
        return {}

    def _count(self, without: Collection[str]) -> Counted:
        return self.rows(without=without).count()

    @property
    def counted(self) -> Counted:
        """``count`` with all filters: the total, the page and the facets start from it."""
        return self.count()

    @property
    def total(self) -> int:
        """How many images or datasets match."""
        return self.counted.total

    @cached_property
    def parsed_query(self) -> ParsedQuery:
        """The parsed search text; terms of filters that this set lacks become plain words."""
        return self._whole_query.only(self.filters, dropping=self.not_applicable)

    @property
    def shown_query(self) -> ParsedQuery:
        """What the page says that is searched for."""
        return self.parsed_query

    @cached_property
    def _whole_query(self) -> ParsedQuery:
        return self._typed_query

    @cached_property
    def _typed_query(self) -> ParsedQuery:
        return parse_query(self.cleaned.get("q") or "", self.snapshot.spellings)

    def query_without(self, *matches: Match) -> str:
        """The query without the words of ``matches``, of which the rest means the same."""
        spans = tuple((match.start, match.end) for match in matches)
        if spans not in self._queries_without:
            self._queries_without[spans] = remove_matches(
                self._typed_query, matches, self.snapshot.spellings
            )
        return self._queries_without[spans]

    @cached_property
    def _queries_without(self) -> dict[tuple[tuple[int, int], ...], str]:
        return {}

    @property
    def ignored(self) -> list[Match]:
        """Parts of the query whose filters do not apply to this set."""
        return [
            m for m in self._whole_query.matches if m.name in self.not_applicable and not m.others
        ]

    @property
    def ignored_words(self) -> list[str]:
        return [match.words for match in self.ignored]

    @property
    def word_groups(self) -> list[list[Word]]:
        """The words that name no term, in groups of alternatives."""
        return self.parsed_query.word_groups

    @property
    def broken_ors(self) -> list[str]:
        """Where "or" is read as "and": between filters, and between a filter and words."""
        query = self.parsed_query
        groups: list[Sequence[Match | Word]] = [*query.groups, *self.word_groups]
        return query.find_broken_ors(groups)

    @property
    def doubts(self) -> list[str]:
        """What the query may not mean as it is read."""
        is_of_images = self.model is Image
        return list_doubts(self.shown_query, is_of_images=is_of_images, ignored=self.ignored)

    @cached_property
    def stems(self) -> Stems:
        """What the index of datasets' texts has of the words of each text that it is asked for."""
        return find_stems(word.text for word in self.shown_query.words if word.is_excluded)

    def _ask_query(self) -> Iterator[Mask]:
        """One mask for each group of alternatives ("ct or mri"), of which one has to match."""
        for group in self.parsed_query.groups:
            yield np.logical_or.reduce([self._ask(match) for match in group])

    def _ask(self, match: Match) -> Mask:
        return self._find_mask(match.name, match.values)

    @cached_property
    def active_filters(self) -> Sequence[ActiveFilter]:
        """Every active value, in the order of the filters."""
        return list(self._list_active())

    def _list_active(self) -> Iterator[ActiveFilter]:
        for name, value in self.cleaned.items():
            if not value or name == "label_mode":
                continue
            title = str(self.filters[name].label)
            if name == "label" and self.cleaned.get("label_mode") == "all":
                title = "Label (all must be there)"
            if name == "image":
                # Hundreds of ids would be unreadable, so they are shown as one filter.
                ids = ",".join(str(pk) for pk in value)
                yield ActiveFilter(name, title, ids, f"{len(value):,}")
                continue
            for item in value if isinstance(value, list) else [value]:
                yield self._describe(name, title, item)

    def _describe(self, name: str, title: str, item: Any) -> ActiveFilter:
        if isinstance(item, TermRef):
            alone = item.alone().value if item.narrower else ""
            return ActiveFilter(name, title, item.value, item.text, item.note, alone)
        if name in ("age_min", "age_max"):
            ages = range_of_limits(item, "") if name == "age_min" else range_of_limits("", item)
            return ActiveFilter(name, str(self.filters["age"].label), item, ages.name)
        names = getattr(self.filters[name].field, "names", {})
        return ActiveFilter(name, title, str(item), names.get(item, str(item)))

    def as_json(self) -> dict[str, Any]:
        """The active filters as JSON: values of the URL, never database ids of terms."""
        return {
            name: [item.value if isinstance(item, TermRef) else item for item in value]
            if isinstance(value, list)
            else value
            for name, value in self.cleaned.items()
            if value
        }

    def as_frozen_json(self) -> dict[str, Any]:
        """As ``as_json``, with every term that a filter includes, each standing for itself alone.

        It means the same when the hierarchy has changed, and also where it was written before
        there was one. ``params_from_frozen`` reads it.
        """
        frozen = self.as_json()
        for name in HIERARCHIES & frozen.keys():
            refs = [each for ref in self.cleaned[name] for each in (ref, *ref.narrower)]
            frozen[name] = list(dict.fromkeys(ref.code for ref in refs))
        return frozen
