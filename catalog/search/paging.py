"""Keyset paging over images in the order of ``catalog.search.order``.

The image counts of the profiles tell which of them a page needs, so only the images of one page are
read, and no page costs more than another.
"""

import re
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db.models import BigIntegerField, Case, OuterRef, Q, Value, When

from catalog.models import Image, ImageProfile
from catalog.querysets import ImageQuerySet
from catalog.search.cards import Card, fetch_cards
from catalog.search.filters import ImageFilterSet
from catalog.search.order import FIRST, Segment, find_segments

PAGE_SIZE = 50
_CURSOR = re.compile(r"(after|before)-(first|rest)-(\d{1,18})-(\d{1,18})")
_LAST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position just after or just before an image."""

    is_before: bool
    segment: Segment
    image_id: int

    def precedes(self, image_id: int) -> bool:
        """Whether an image of the same profile lies on the side that is asked for."""
        return image_id < self.image_id if self.is_before else image_id > self.image_id


@dataclass(frozen=True, slots=True)
class Page:
    """The images of a page, and the ``page`` parameters of its neighbours, empty at an end."""

    images: list[Card]
    previous: str = ""
    next: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    segment: Segment
    image_id: int

    def cursor(self, side: str) -> str:
        part = "rest" if self.segment.is_rest else "first"
        return f"{side}-{part}-{self.segment.profile_id}-{self.image_id}"


def parse_cursor(text: str) -> Cursor | None:
    """Read a ``page`` parameter; None for the first page.

    Raises:
        ValidationError: the parameter is not a cursor.
    """
    if not text:
        return None
    if not (match := _CURSOR.fullmatch(text)):
        raise ValidationError("This page number is not valid. Start from the first page.")
    return Cursor(match[1] == "before", Segment(match[2] == "rest", int(match[3])), int(match[4]))


def fetch_page(filters: ImageFilterSet, cursor: Cursor | None, *, size: int = PAGE_SIZE) -> Page:
    """The page of matching images at ``cursor``, at most ``size`` of them.

    Raises:
        ValidationError: what the cursor names no longer matches.
    """
    backwards = cursor is not None and cursor.is_before
    found = _find(filters, cursor, size + 1, backwards=backwards)
    has_more = len(found) > size
    shown = found[:size][::-1] if backwards else found[:size]
    if not shown:
        return Page([])
    has_previous = has_more if backwards else cursor is not None
    has_next = True if backwards else has_more
    cards = fetch_cards(
        filters.snapshot, Image.objects.filter(pk__in=[each.image_id for each in shown])
    )
    by_id = {card.pk: card for card in cards}
    return Page(
        [by_id[each.image_id] for each in shown if each.image_id in by_id],
        shown[0].cursor("before") if has_previous else "",
        shown[-1].cursor("after") if has_next else "",
    )


def _find(
    filters: ImageFilterSet, cursor: Cursor | None, limit: int, *, backwards: bool
) -> list[_Found]:
    """The images next to the cursor, the nearest first."""
    segments = find_segments(
        filters.counted, cursor.segment if cursor else None, limit, backwards=backwards
    )
    if segments is None:
        raise ValidationError(
            "What this page began with no longer matches. Start from the first page."
        )
    if not segments:
        return []
    ids = _fetch_ids(filters, cursor, segments, limit, backwards=backwards)
    found = [_Found(segment, pk) for segment in segments for pk in ids[segment]]
    return found[:limit]


def _fetch_ids(
    filters: ImageFilterSet,
    cursor: Cursor | None,
    segments: list[Segment],
    limit: int,
    *,
    backwards: bool,
) -> dict[Segment, list[int]]:
    """The matching images of each segment beyond the cursor, at least ``limit`` if it has them."""
    profile_ids = sorted({each.profile_id for each in segments})
    condition = filters.image_condition_within(profile_ids) or Q()
    images = Image.objects.filter(condition, profile=OuterRef("pk"))
    first = ArraySubquery(images.order_by("pk").values("pk")[:FIRST])
    if any(each.is_rest for each in segments):
        rest = _select_rest(images, cursor, limit, backwards=backwards)
    else:
        rest = {"rest": Value([], ArrayField(BigIntegerField()))}
    rows = ImageProfile.objects.filter(pk__in=profile_ids).annotate(first=first, **rest)
    found: dict[Segment, list[int]] = {}
    for pk, first_ids, rest_ids in rows.values_list("pk", "first", "rest"):
        found[Segment(is_rest=False, profile_id=pk)] = first_ids[::-1] if backwards else first_ids
        found[Segment(is_rest=True, profile_id=pk)] = [
            each for each in rest_ids if each not in first_ids
        ]
    if cursor and not cursor.segment.is_rest:
        ids = found.get(cursor.segment, [])
        found[cursor.segment] = [pk for pk in ids if cursor.precedes(pk)]
    return {segment: found.get(segment, []) for segment in segments}


def _select_rest(
    images: ImageQuerySet, cursor: Cursor | None, limit: int, *, backwards: bool
) -> dict[str, Any]:
    """For each profile the ids of its ``images`` beyond the cursor, with the first ones among them.

    Profiles other than the cursor's begin at their own end.
    """
    order, beyond = ("-pk", "pk__lt") if backwards else ("pk", "pk__gt")
    begin: Any = Value(_LAST_ID if backwards else 0, BigIntegerField())
    if cursor and cursor.segment.is_rest:
        begin = Case(
            When(pk=cursor.segment.profile_id, then=Value(cursor.image_id, BigIntegerField())),
            default=begin,
        )
    rest = images.filter(**{beyond: OuterRef("begin")}).order_by(order).values("pk")
    return {"begin": begin, "rest": ArraySubquery(rest[: limit + FIRST])}
