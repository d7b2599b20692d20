"""Random filter sets as users would choose them, drawn from the catalog's images.

Each starts from one image, drawn with the same chance for all of them: its own values are the
ones that are filtered by, so that frequent values and frequent combinations come up often and
nearly every set finds something. Further values of a facet come from other images.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple
from urllib.parse import urlencode

FACETS = ("modality", "area", "label", "view", "sex", "age", "dataset", "local", "task", "tag",
          "license")  # fmt: skip
# How often people reach for a facet, by feeling; a facet that the image has no value of is left.
WISHES = {"modality": 5, "area": 5, "label": 6, "view": 1, "sex": 3, "age": 3, "dataset": 4,
          "local": 1, "task": 2, "tag": 2, "license": 3}  # fmt: skip
NUM_FACETS = {0: 1, 1: 6, 2: 7, 3: 4, 4: 2}
MORE_VALUES, ALL_LABELS, NOT_LABEL, WITH_QUERY, NEXT_PAGE = 0.3, 0.3, 0.1, 0.15, 0.2
QUERIES = (
    "chest x-ray pneumonia female",
    "prostate MRI",
    "lung CT",
    "CT of the lung, commercial use",
    "mamografy",
    "brain tumor",
    "pleural effusion",
    "cardiomegaly male",
    "pediatric chest",
    "liver",
    "breast cancer screening",
    "TCGA",
    "pneumothorax or edema",
    "kidney ct segmentation",
    "lidc",
    "chexpert atelectasis",
    "whole slide pathology",
    "PET",
    "histology colon",
    "head neck radiotherapy",
)


class Profile(NamedTuple):
    """Images that share their values: by facet the codes, as they stand in URLs."""

    values: Mapping[str, tuple[str, ...]]
    num_images: int


@dataclass(frozen=True, slots=True)
class FilterSet:
    """``params`` as in the URL; ``next_page`` asks for the page after the first one."""

    params: tuple[tuple[str, str], ...]
    next_page: bool = False

    def path(self, cursor: str = "") -> str:
        params = [*self.params, *([("page", cursor)] if cursor else [])]
        return f"/images/?{urlencode(params)}" if params else "/images/"

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.params if key == name]

    def spell_out(self, narrower: Mapping[tuple[str, str], Sequence[str]]) -> "FilterSet":
        """The same with the codes that a broader term includes, for who knows no hierarchy."""
        params = [(key, code) for key, value in self.params
                  for code in narrower.get((key, value), [value])]  # fmt: skip
        return FilterSet(tuple(dict.fromkeys(params)), self.next_page)

    @property
    def is_plain(self) -> bool:
        """Whether it has no typed query."""
        return not self.values("q")


def draw_filter_sets(profiles: Sequence[Profile], *, count: int, seed: int) -> list[FilterSet]:
    """``count`` filter sets; the same for the same profiles and seed."""
    draw = _Draw(profiles, random.Random(seed))  # noqa: S311 - repeatable on purpose
    return [draw.filter_set() for _ in range(count)]


class _Draw:
    def __init__(self, profiles: Sequence[Profile], chance: random.Random) -> None:
        self.profiles = profiles
        self.sums = list(accumulate(profile.num_images for profile in profiles))
        self.chance = chance

    def profile(self) -> Profile:
        return self.chance.choices(self.profiles, cum_weights=self.sums)[0]

    def happens(self, share: float) -> bool:
        return self.chance.random() < share

    def filter_set(self) -> FilterSet:
        of = self.profile()
        params = [pair for name in self.facets(of) for pair in self.values(name, of)]
        if self.happens(NOT_LABEL):
            params += self.other_label(of)
        if self.happens(WITH_QUERY):
            # With a query, users choose few filters.
            params = [("q", self.chance.choice(QUERIES)), *params[:1]]
        else:
            # What the page chooses where nothing is said; the peers have to be told.
            params += [("kind", code) for code in of.values["kind"]]
        return FilterSet(tuple(dict.fromkeys(params)), self.happens(NEXT_PAGE))

    def facets(self, of: Profile) -> list[str]:
        """Some facets of which the image has a value, the wished ones more often."""
        wanted = self.chance.choices(list(NUM_FACETS), list(NUM_FACETS.values()))[0]
        open_ = [name for name in FACETS if of.values.get(name)]
        chosen: list[str] = []
        while open_ and len(chosen) < wanted:
            name = self.chance.choices(open_, [WISHES[each] for each in open_])[0]
            open_.remove(name)
            chosen.append(name)
        return chosen

    def values(self, name: str, of: Profile) -> list[tuple[str, str]]:
        own = of.values[name]
        if name == "label" and len(own) > 1 and self.happens(ALL_LABELS):
            both = self.chance.sample(own, 2)
            return [*((name, code) for code in both), ("label_mode", "all")]
        found = [self.chance.choice(own)]
        if self.happens(MORE_VALUES):
            found += [self.chance.choice(more) for more in self.others(name) if more]
        return [(name, code) for code in found]

    def others(self, name: str) -> list[tuple[str, ...]]:
        more = self.chance.randint(1, 2)
        return [self.profile().values.get(name, ()) for _ in range(more)]

    def other_label(self, of: Profile) -> list[tuple[str, str]]:
        others = set(self.profile().values.get("label", ())) - set(of.values.get("label", ()))
        return [("not_label", min(others))] if others else []
