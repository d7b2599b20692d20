"""Keyset paging over images in (profile, id) order.

The image counts of the sorted profiles tell which profiles a page needs, so only the images of one
page are read, and no page costs more than another.
"""

import re
from dataclasses import dataclass

import numpy as np
from django.core.exceptions import ValidationError
from django.db.models import Q

from catalog.models import Image
from catalog.querysets import ImageQuerySet
from catalog.search.cards import Card, fetch_cards
from catalog.search.filters import ImageFilterSet

PAGE_SIZE = 50
_CURSOR = re.compile(r"(after|before)-(\d{1,18})-(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position just after or just before an image."""

    direction: str
    profile_id: int
    image_id: int

    def __str__(self) -> str:
        return f"{self.direction}-{self.profile_id}-{self.image_id}"


@dataclass(frozen=True, slots=True)
class Page:
    """The images of a page, and the ``page`` parameters of its neighbours, empty at an end."""

    images: list[Card]
    previous: str = ""
    next: str = ""


def parse_cursor(text: str) -> Cursor | None:
    """Read a ``page`` parameter; None for the first page.

    Raises:
        ValidationError: the parameter is not a cursor.
    """
    if not text:
        return None
    if not (match := _CURSOR.fullmatch(text)):
        raise ValidationError("This page number is not valid. Start from the first page.")
    return Cursor(match[1], int(match[2]), int(match[3]))


def fetch_page(filters: ImageFilterSet, cursor: Cursor | None, *, size: int = PAGE_SIZE) -> Page:
    """The page of matching images at ``cursor``, at most ``size`` of them."""
    backwards = cursor is not None and cursor.direction == "before"
    found = _fetch(filters, cursor, size + 1, backwards=backwards)
    has_more = len(found) > size
    images = found[:size][::-1] if backwards else found[:size]
    if not images:
        return Page([])
    first, last = images[0], images[-1]
    has_previous = has_more if backwards else cursor is not None
    has_next = True if backwards else has_more
    return Page(
        images,
        f"before-{first.profile_id}-{first.pk}" if has_previous else "",
        f"after-{last.profile_id}-{last.pk}" if has_next else "",
    )


def _fetch(
    filters: ImageFilterSet, cursor: Cursor | None, limit: int, *, backwards: bool
) -> list[Card]:
    profiles = _next_profiles(filters, cursor, limit, backwards=backwards)
    condition = filters.image_condition_within(profiles) or Q()
    images = Image.objects.filter(condition, profile_id__in=profiles)
    images = _beyond(images, cursor)
    order = ("-profile_id", "-id") if backwards else ("profile_id", "id")
    return fetch_cards(filters.snapshot, images.order_by(*order)[:limit])


def _next_profiles(
    filters: ImageFilterSet, cursor: Cursor | None, limit: int, *, backwards: bool
) -> list[int]:
    """The profiles of the next ``limit`` images after the cursor."""
    ids, counts = filters.counted.pairs()
    if backwards:
        ids, counts = ids[::-1], counts[::-1]
    if cursor:
        beyond = ids <= cursor.profile_id if backwards else ids >= cursor.profile_id
        ids, counts = ids[beyond], counts[beyond]
    # Some images of the cursor's own profile come before it, so that profile is not counted.
    own = 1 if cursor and len(ids) and ids[0] == cursor.profile_id else 0
    full = int(np.searchsorted(np.cumsum(counts[own:]), limit)) + 1
    return ids[: own + full].tolist()


def _beyond(images: ImageQuerySet, cursor: Cursor | None) -> ImageQuerySet:
    if cursor is None:
        return images
    side = "lt" if cursor.direction == "before" else "gt"
    return images.filter(
        Q(**{f"profile_id__{side}": cursor.profile_id})
        | Q(profile_id=cursor.profile_id, **{f"id__{side}": cursor.image_id})
    )
