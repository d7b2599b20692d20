"""The filters of ``/images/``, and which images match."""

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from typing import Any, Self
from urllib.parse import urlencode

import numpy as np
from django.db.models import Count, Q, Sum
from django.http import QueryDict

from catalog.ages import range_of_limits
from catalog.models import Image
from catalog.querysets import ImageQuerySet
from catalog.search.age_groups import AgeGroup, age_condition, match_ages
from catalog.search.any_of import AnyOf
from catalog.search.columns import Counted, Ints, Mask, SetColumn, Table
from catalog.search.filter_choices import (
    AGE_BANDS,
    AGE_CHOICES,
    ANY_KIND,
    HERE,
    KIND_CHOICES,
    KIND_CODES,
    LABEL_MODES,
    LISTED,
    LISTED_CODES,
    SEX_CHOICES,
    SEX_CODES,
    UNKNOWN,
)
from catalog.search.filters.base import CatalogFilterSet
from catalog.search.filters.column_filters import (
    AgeLimitFilter,
    ChoiceFilter,
    DatasetFilter,
    FilesFilter,
    KindFilter,
    ModeFilter,
    PickedFilter,
    QueryFilter,
    TermFilter,
)
from catalog.search.filters.image_words import ImageWords, Lookups
from catalog.search.image_ids import remember_ids
from catalog.search.image_texts import has_words
from catalog.search.query import Match, ParsedQuery, Word
from catalog.search.relevance import find_excluded_terms
from catalog.search.snapshot import Snapshot
from vocab.models import Kind


class ImageFilterSet(CatalogFilterSet):
    """Filters of ``/images/``; they work on image profiles.

    Free words, picked images and ages within a band cannot be decided from profiles:
    ``image_condition`` is their condition on single images, and None if profiles alone decide.
    """

    model = Image
    q = QueryFilter(label="Search")
    dataset = DatasetFilter("dataset", label="Dataset")
    area = TermFilter("area", label="Area")
    modality = TermFilter("modality", label="Modality")
    label = TermFilter("label", label="Label")
    label_mode = ModeFilter(choices=LABEL_MODES, label="Labels")
    not_label = TermFilter("label", exclude=True, label="Without label")
    sex = ChoiceFilter(
        "sex",
        {code: SEX_CODES["" if code == UNKNOWN else code] for code, _ in SEX_CHOICES},
        choices=SEX_CHOICES,
        what="a sex",
        label="Sex",
    )
    age = ChoiceFilter("age", AGE_BANDS, choices=AGE_CHOICES, what="an age band", label="Age")
    age_min = AgeLimitFilter(label="Age from")
    age_max = AgeLimitFilter(label="Age to")
    view = TermFilter("view", label="View")
    kind = KindFilter(
        "kind", KIND_CODES, choices=KIND_CHOICES, what="a kind of objects", label="Kind"
    )
    local = FilesFilter()
    task = TermFilter("task", label="Task")
    tag = TermFilter("tag", label="Tag")
    license = TermFilter("license", label="Licence")
    image = PickedFilter(label="Picked images")

    def with_params(self, params: QueryDict) -> Self:
        """As in the base class; knows what this one has looked up."""
        changed = super().with_params(params)
        changed._lookups = self._lookups
        return changed

    @cached_property
    def _lookups(self) -> Lookups:
        datasets = self.snapshot.datasets
        is_listed = datasets.columns["images"].any_of([LISTED_CODES[LISTED]])
        return Lookups(remember_ids(datasets.ids[is_listed].tolist()))

    @cached_property
    def words(self) -> ImageWords:
        """The words of the query that name no term."""
        return ImageWords(self.parsed_query, self.snapshot, self._lookups)

    @property
    def word_groups(self) -> list[list[Word]]:
        """As in the base class, of ids, or of words of texts: an image is looked for by both."""
        return self.words.groups

    def as_frozen_json(self) -> dict[str, Any]:
        """As in the base class, and always with the kinds."""
        return super().as_frozen_json() | {"kind": self.kinds}

    @property
    def kinds(self) -> list[str]:
        """The kinds in force: those chosen, and without any choice pictures or all."""
        chosen: list[str] = self.cleaned.get("kind", [])
        if self.shows_pictures_only:
            return [Kind.PICTURE.value]
        return [ANY_KIND] if ANY_KIND in chosen else chosen or [ANY_KIND]

    @cached_property
    def parsed_query(self) -> ParsedQuery:
        """As in the base class; a view that no image has becomes plain words."""
        query = super().parsed_query
        views = [match for match in query.matches if match.name == "view"]
        return query.with_words(*(view for view in views if not self._ask(view).any()))

    @classmethod
    def of_dataset(cls, slug: str, *, snapshot: Snapshot | None = None, **more: str) -> Self:
        """The images and other objects of one dataset, narrowed by ``more`` filters."""
        given = {"dataset": slug, "kind": ANY_KIND, **more}
        return cls(QueryDict(urlencode(given)), snapshot=snapshot)

    @staticmethod
    def table_of(snapshot: Snapshot) -> Table:
        return snapshot.images

    @cached_property
    def masks(self) -> dict[str, Mask]:
        """As in the base class, with one more mask for each group of the query's terms."""
        masks = super().masks
        labels = self.cleaned.get("label")
        if labels and self.cleaned.get("label_mode") == "all":
            column = self.snapshot.images.columns["label"]
            assert isinstance(column, SetColumn)  # noqa: S101 - tells the type checker
            masks["label"] = column.all_of(ref.id for ref in labels)
        if self.shows_pictures_only:
            masks["kind"] = self._find_mask("kind", [Kind.PICTURE])
        elif ANY_KIND in self.cleaned.get("kind", ()):
            del masks["kind"]
        masks |= {f"q{number}": mask for number, mask in enumerate(self._ask_query())}
        if self._images_of_age is not None:
            masks["ages"] = self._images_of_age > 0
        masks |= {
            f"-{number}": ~self._named_by(word)
            for number, word in enumerate(self.parsed_query.words)
            if word.is_excluded and word not in self.words.excluded
        }
        return masks

    @cached_property
    def shows_pictures_only(self) -> bool:
        """Whether only pictures and series match because nothing asks for other objects.

        A kind asks, and so do single images and a modality of another kind, or with narrower ones.
        """
        if self.problems or self.cleaned.get("kind") or self.cleaned.get("image"):
            return False
        asked = [*self.cleaned["modality"]]
        for match in self.parsed_query.matches:
            asked += match.values if match.name == "modality" else ()
        kinds = self.snapshot.vocabularies.kinds
        return all(kinds[pk] == Kind.PICTURE for ref in asked for pk in ref.ids)

    def _ask(self, match: Match) -> Mask:
        if match.name == "age":  # ``masks["ages"]`` has all groups of them together.
            return np.ones(len(self.all_rows.table), dtype=np.bool_)
        return super()._ask(match)

    @cached_property
    def problems(self) -> list[str]:
        found = super().problems
        limits = [self.form.cleaned_data.get(name) or "" for name in ("age_min", "age_max")]
        if not found and not range_of_limits(*limits).is_exact:
            found.append("Age: the first age is above the last one. Exchange them.")
        return found

    @cached_property
    def _age_groups(self) -> list[AgeGroup]:
        """Ranges of ages, or "unknown": of every group, one has to match."""
        groups: list[AgeGroup] = [
            tuple(value for match in group for value in match.values)
            for group in self.parsed_query.groups
            if group[0].name == "age"
        ]
        limits = [self.cleaned.get(name) or "" for name in ("age_min", "age_max")]
        return [(range_of_limits(*limits),), *groups] if any(limits) else groups

    @cached_property
    def _images_of_age(self) -> Ints | None:
        """For each profile, its images whose ages match; None if there is no condition on ages."""
        ages = self.snapshot.images.ages
        return self._sum_by_age(ages.weights) if ages and self._age_groups else None

    def _sum_by_age(self, numbers: Ints) -> Ints:
        table = self.snapshot.images
        assert table.ages is not None  # noqa: S101 - tells the type checker
        chosen = match_ages(table.ages.values, self._age_groups)
        return table.ages.by_row(numbers, chosen, len(table))

    def _named_by(self, word: Word) -> Mask:
        """What an excluded word names: the images with its terms, else datasets that mention it."""
        if terms := find_excluded_terms(word, self.snapshot):
            return np.logical_or.reduce([self._ask(match) for match in terms])
        text = str(replace(word, is_excluded=False))
        return self.snapshot.images.columns["dataset"].any_of(self._lookups.rank_datasets(text))

    @cached_property
    def image_condition(self) -> Q | None:
        """The condition on single images beyond their profiles; None if there is none."""
        return self.image_condition_within(None)

    def image_condition_within(self, profiles: Collection[int] | None) -> Q | None:
        """The same for images of these profiles alone, of which less must be known."""
        condition = age_condition(self._age_groups) & self.words.id_condition
        if picked := self.cleaned.get("image"):
            condition &= Q(pk__in=picked)
        wanted, unwanted = self.words.in_texts, self.words.not_in_texts
        if wanted or unwanted:
            condition &= has_words(wanted, without=unwanted, profiles=profiles)
        return condition or None

    @property
    def _asks_single_images(self) -> bool:
        """Whether there is a condition on single images besides their ages."""
        return bool(self._asks_texts or self.words.id_condition or self.cleaned.get("image"))

    @property
    def reads_many_images(self) -> bool:
        """Whether the database has to go through images, by their texts or ids."""
        return not self.problems and (self.words.may_concern_most or self._asks_texts)

    @property
    def _asks_texts(self) -> bool:
        return bool(self.words.in_texts or self.words.not_in_texts)

    @property
    def idle_words(self) -> list[str]:
        """The excluded words that are found nowhere, so that they exclude nothing."""
        excluded = (word for word in self.parsed_query.words if word.is_excluded)
        others = (word for word in excluded if word not in self.words.excluded)
        return [word.text for word in others if not self._named_by(word).any()]

    def _count(self, without: Collection[str]) -> Counted:
        """Matching profiles, each with the number of its images that match."""
        rows = self.rows(without=without)
        if rows.mask is not None and not rows.mask.any():
            return rows.count()  # without asking the database for words and ids
        weights = self._matching_images
        if weights is rows.table.weights:
            return rows.count()
        if rows.mask is not None:
            weights = np.where(rows.mask, weights, 0)
        places = np.flatnonzero(weights)
        return Counted(rows.table, places, weights[places])

    @cached_property
    def _matching_images(self) -> Any:
        """For each profile, the number of images that meet the image condition."""
        table = self.snapshot.images
        if not self._asks_single_images:
            return table.weights if self._images_of_age is None else self._images_of_age
        images = Image.objects.filter(profile__isnull=False)
        if self._asks_texts:
            with_words = self._count_by_texts()
            if not (self.words.id_condition or self._age_groups or self.cleaned.get("image")):
                return with_words
            if self._images_of_age is not None:
                with_words = np.where(self._images_of_age, with_words, 0)
            images = images.filter(AnyOf("profile_id", table.ids[with_words > 0].tolist()))
        pairs = images.filter(self.image_condition or Q()).order_by().values_list("profile")
        counted = np.array(list(pairs.annotate(n=Count("pk"))), dtype=np.int64).reshape(-1, 2)
        return self._weigh(counted[:, 0], counted[:, 1])

    def _count_by_texts(self) -> Any:
        """For each profile, its images whose texts have the words and no excluded one."""
        without = tuple(self.words.not_in_texts)
        if self.words.in_texts:
            groups = tuple(map(tuple, self.words.in_texts))
            return self._weigh(*self._lookups.count_by_words(groups, without=without))
        return self.snapshot.images.weights - self._weigh(*self._lookups.count_by_any(without))

    def _weigh(self, ids: Ints, numbers: Ints) -> Any:
        """The numbers of profiles as a column of all of them."""
        table = self.snapshot.images
        known = np.isin(ids, table.ids)
        weights = np.zeros(len(table), dtype=np.int64)
        weights[np.searchsorted(table.ids, ids[known])] = numbers[known]
        return weights

    def images(self) -> ImageQuerySet:
        """The matching images, unordered."""
        # Of the profiles that have one: fewer than may have by their terms.
        counted = self.counted
        profiles = counted.table.ids if counted.rows is None else counted.table.ids[counted.rows]
        images = Image.objects.filter(AnyOf("profile_id", profiles.tolist()))
        return images.filter(self.image_condition) if self.image_condition else images

    def count_files(self) -> tuple[int, int]:
        """The number of matching images with a file here, and the bytes of these files."""
        return self._files

    @cached_property
    def _files(self) -> tuple[int, int]:
        if not self._asks_single_images:
            return self._count_files_of_profiles()
        sums = self.images().local().aggregate(files=Count("pk"), size=Sum("size_bytes"))
        return sums["files"] or 0, sums["size"] or 0

    def may_exceed(self, num_bytes: int) -> bool:
        """Whether the files here of matching images may take more; costs no query where not."""
        return self._count_files_of_profiles()[1] > num_bytes and self.count_files()[1] > num_bytes

    def _count_files_of_profiles(self) -> tuple[int, int]:
        """As ``count_files``; where single images decide, with all bytes of their profiles."""
        table = self.snapshot.images
        local = self.rows().where(table.columns["local"].any_of([HERE])).positions()
        assert local is not None  # noqa: S101 - tells the type checker
        assert table.num_bytes is not None  # noqa: S101
        size = table.num_bytes
        if table.ages and self._age_groups:
            size = self._sum_by_age(table.ages.num_bytes)
        images = self._matching_images[local]
        return int(images.sum()), int(size[local][images > 0].sum())
