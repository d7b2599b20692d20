"""The basket: images picked one by one. It is kept in the session, also through sign-in."""

from collections.abc import Iterable

from django.contrib.sessions.backends.base import SessionBase

from catalog.models import Image
from catalog.search.filters.fields import MAX_PICKED_IMAGES

SESSION_KEY = "basket_images"


class BasketFull(Exception):
    """The basket holds no more images; the message says what to do."""


def read_basket(session: SessionBase) -> list[int]:
    """Ids of the images in the basket, ascending."""
    return session.get(SESSION_KEY, [])


def update_basket(session: SessionBase, *, shown: Iterable[int], ticked: Iterable[int]) -> None:
    """Keep exactly the ticked images of those shown on the page; images of other pages stay.

    Raises:
        BasketFull: there are too many; the basket is unchanged.
    """
    shown_ids, ticked_ids = set(shown), set(ticked)
    wanted = (set(read_basket(session)) - shown_ids) | ticked_ids
    known = set(Image.objects.active().filter(pk__in=wanted).values_list("pk", flat=True))
    if len(known) > MAX_PICKED_IMAGES:
        raise BasketFull(
            f"At most {MAX_PICKED_IMAGES} images can be picked one by one. "
            "Use filters and “Build collection from all” for more."
        )
    session[SESSION_KEY] = sorted(known)


def clear_basket(session: SessionBase) -> None:
    session.pop(SESSION_KEY, None)
