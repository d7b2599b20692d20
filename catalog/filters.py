"""The one definition of every filter: pages, collections and counts all go through it.

A value that is not understood makes the set invalid, and an invalid set matches nothing.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any, Self
from urllib.parse import urlencode

import django_filters as filters
from django.conf import settings
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import QueryDict

from catalog.filter_choices import (
    AGE_CHOICES,
    LABEL_MODES,
    LOCAL_CHOICES,
    NEUTRAL_PARAMETERS,
    SEX_CHOICES,
    SIZE_CHOICES,
    SIZE_RANGES,
    UNKNOWN,
    ActiveFilter,
)
from catalog.filter_fields import (
    ChoicesField,
    DatasetsField,
    ImageIdsField,
    QueryField,
    SingleChoiceField,
    TermsField,
)
from catalog.models import Dataset, Image, ImageProfile
from catalog.query import ParsedQuery, TermMatch, parse_query
from catalog.querysets import DatasetQuerySet, ImageProfileQuerySet, ImageQuerySet
from catalog.search import search_datasets
from vocab.lookup import load_spellings
from vocab.text import TermRef


class TermFilter(filters.Filter):
    """Any of the chosen terms; ``path`` leads from the row to the term."""

    field_class = TermsField

    def __init__(self, vocabulary: str, path: str, **extra: Any) -> None:
        self.path = path
        super().__init__(vocabulary=vocabulary, **extra)

    def filter(self, qs: QuerySet, value: list[TermRef]) -> QuerySet:
        if not value:
            return qs
        return self.get_method(qs)(self.condition([term.id for term in value]))

    def condition(self, ids: list[int]) -> Q:
        return Q(**{f"{self.path}__in": ids})


class OfDatasetFilter(TermFilter):
    """Any of the terms of the row's dataset; asked by a subquery, so that no row comes twice."""

    def __init__(
        self, vocabulary: str, path: str, *, dataset: str = "dataset", **extra: Any
    ) -> None:
        self.dataset = dataset
        super().__init__(vocabulary, path, **extra)

    def condition(self, ids: list[int]) -> Q:
        having = Dataset.objects.filter(super().condition(ids))
        return Q(**{f"{self.dataset}__in": having.values("pk")})


class LabelFilter(TermFilter):
    """Images with any of the labels; the filter set turns it into all of them on demand."""

    def condition(self, ids: list[int]) -> Q:
        return Q(**{f"{self.path}__overlap": ids})


class ChoiceFilter(filters.Filter):
    """Any of the chosen values of a column; "unknown" stands for an empty one."""

    field_class = ChoicesField

    def __init__(self, conditions: Mapping[str, Q], **extra: Any) -> None:
        self.conditions = conditions
        super().__init__(**extra)

    def filter(self, qs: QuerySet, value: list[str]) -> QuerySet:
        condition = Q()
        for choice in value:
            condition |= self.conditions[choice]
        return qs.filter(condition)


class DatasetFilter(filters.Filter):
    field_class = DatasetsField

    def filter(self, qs: QuerySet, value: list[TermRef]) -> QuerySet:
        return qs.filter(dataset__in=[ref.id for ref in value]) if value else qs


class ReadByTheSet(filters.Filter):
    """A parameter that is understood here and acted on by the filter set as a whole."""

    def filter(self, qs: QuerySet, value: Any) -> QuerySet:
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


class CatalogFilterSet(filters.FilterSet):
    """What both filter sets share: strictness, and what is in force, in words."""

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data=data, queryset=self.all_rows())

    @staticmethod
    def all_rows() -> QuerySet:
        raise NotImplementedError

    @cached_property
    def problems(self) -> list[str]:
        """What was not understood, a sentence each; empty when every value was."""
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

    def rows(self, *, without: Collection[str] = ()) -> Any:
        """The rows that match, leaving the filters named in ``without`` aside."""
        if self.problems:
            return self.queryset.none()
        rows = self.queryset
        for name, value in self.cleaned.items():
            if name not in without and value:
                rows = self.filters[name].filter(rows, value)
        return rows

    def active_filters(self) -> Iterator[ActiveFilter]:
        """Every value in force, in the order of the filters."""
        for name, value in self.cleaned.items():
            if not value or name == "label_mode":
                continue
            title = str(self.filters[name].label)
            if name == "label" and self.cleaned.get("label_mode") == "all":
                title = "Label (all must be there)"
            if name == "image":
                # Hundreds of ids say nothing to people: they count as one filter.
                ids = ",".join(str(pk) for pk in value)
                yield ActiveFilter(name, title, ids, f"{len(value):,}")
                continue
            for item in value if isinstance(value, list) else [value]:
                yield self._describe(name, title, item)

    def _describe(self, name: str, title: str, item: Any) -> ActiveFilter:
        if isinstance(item, TermRef):
            return ActiveFilter(name, title, item.code, item.name)
        names = getattr(self.filters[name].field, "names", {})
        return ActiveFilter(name, title, str(item), names.get(item, str(item)))

    def snapshot(self) -> dict[str, Any]:
        """The filters in force as JSON: codes, slugs and choices, never database ids of terms."""
        return {
            name: [item.code if isinstance(item, TermRef) else item for item in value]
            if isinstance(value, list)
            else value
            for name, value in self.cleaned.items()
            if value
        }


class DatasetFilterSet(CatalogFilterSet):
    """Filters of ``/datasets/``."""

    q = QueryFilter(label="Search")
    area = TermFilter("area", "area", label="Area")
    modality = OfDatasetFilter("modality", "modalities", dataset="pk", label="Modality")
    task = OfDatasetFilter("task", "task_types", dataset="pk", label="Task")
    tag = OfDatasetFilter("tag", "tags", dataset="pk", label="Tag")
    license = TermFilter("license", "license", label="Licence")
    size = ChoiceFilter(SIZE_RANGES, choices=SIZE_CHOICES, what="a size", label="Size")
    local = ChoiceFilter(
        {"1": ~Q(local_path=""), "0": Q(local_path="")},
        choices=LOCAL_CHOICES,
        what="a choice for local copies",
        label="Local copy",
    )

    @staticmethod
    def all_rows() -> DatasetQuerySet:
        return Dataset.objects.active()

    def rows(self, *, without: Collection[str] = ()) -> DatasetQuerySet:
        rows = super().rows(without=without)
        text = self.cleaned.get("q")
        return search_datasets(rows, text) if text else rows


class ImageFilterSet(CatalogFilterSet):
    """Filters of ``/images/`` and of every collection; they work on image profiles.

    Free words and picked images cannot be told from a profile: ``image_condition`` is what they
    ask of single images, and is None where profiles alone decide.
    """

    q = QueryFilter(label="Search")
    dataset = DatasetFilter(queryset=Dataset.objects.active(), label="Dataset")
    area = TermFilter("area", "area", label="Area")
    modality = TermFilter("modality", "modality", label="Modality")
    label = LabelFilter("label", "label_ids", label="Label")
    label_mode = ModeFilter(choices=LABEL_MODES, label="Labels")
    not_label = LabelFilter("label", "label_ids", exclude=True, label="Without label")
    sex = ChoiceFilter(
        {code: Q(sex="" if code == UNKNOWN else code) for code, _ in SEX_CHOICES},
        choices=SEX_CHOICES,
        what="a sex",
        label="Sex",
    )
    age = ChoiceFilter(
        {
            code: Q(age_band__isnull=True) if code == UNKNOWN else Q(age_band=code.split("-")[0])
            for code, _ in AGE_CHOICES
        },
        choices=AGE_CHOICES,
        what="an age band",
        label="Age",
    )
    local = ChoiceFilter(
        {"1": Q(is_local=True), "0": Q(is_local=False)},
        choices=LOCAL_CHOICES,
        what="a choice for files",
        label="Files",
    )
    task = OfDatasetFilter("task", "task_types", label="Task")
    tag = OfDatasetFilter("tag", "tags", label="Tag")
    license = OfDatasetFilter("license", "license", label="Licence")
    image = PickedFilter(max_images=settings.COLLECTION_MAX_PICKED, label="Picked images")

    @classmethod
    def of_dataset(cls, slug: str, **more: str) -> Self:
        """The images of one dataset, narrowed by ``more`` filters."""
        return cls(QueryDict(urlencode({"dataset": slug, **more})))

    @staticmethod
    def all_rows() -> ImageProfileQuerySet:
        return ImageProfile.objects.active()

    @cached_property
    def parsed_query(self) -> ParsedQuery:
        text = self.cleaned.get("q") or ""
        return parse_query(text, load_spellings()) if text else ParsedQuery((), ())

    @cached_property
    def image_condition(self) -> Q | None:
        """What is asked of single images beyond their profiles; None where nothing is."""
        condition = Q()
        if picked := self.cleaned.get("image"):
            condition &= Q(pk__in=picked)
        if rest := " ".join(self.parsed_query.rest):
            datasets = list(search_datasets(Dataset.objects.active(), rest).values_list("pk"))
            condition &= Q(dataset__in=[pk for (pk,) in datasets]) | Q(source_id__startswith=rest)
        return condition or None

    def rows(self, *, without: Collection[str] = ()) -> ImageProfileQuerySet:
        """Matching profiles, each with ``n``: how many of its images match."""
        rows = super().rows(without=without)
        if self.cleaned.get("label_mode") == "all" and "label" not in without:
            rows = rows.filter(label_ids__contains=[t.id for t in self.cleaned.get("label", [])])
        for match in self.parsed_query.matches:
            rows = rows.filter(self._ask(match))
        return self._count_images(rows)

    def _ask(self, match: TermMatch) -> Q:
        return self.filters[match.vocabulary].condition([term.id for term in match.terms])

    def _count_images(self, rows: ImageProfileQuerySet) -> ImageProfileQuerySet:
        if self.image_condition is None:
            return rows.annotate(n=F("num_images"))
        matching = Image.objects.filter(self.image_condition)
        counts = (
            matching.filter(profile=OuterRef("pk"))
            .order_by()
            .values("profile")
            .annotate(n=Count("pk"))
            .values("n")
        )
        return rows.filter(pk__in=matching.values("profile")).annotate(
            n=Coalesce(Subquery(counts), 0)
        )

    @cached_property
    def total(self) -> int:
        return self.rows().aggregate(total=Sum("n"))["total"] or 0

    def images(self) -> ImageQuerySet:
        """The matching images, in no order."""
        images = Image.objects.filter(profile__in=self.rows().values("pk"))
        return images.filter(self.image_condition) if self.image_condition else images
