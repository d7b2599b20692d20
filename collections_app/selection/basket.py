"""The basket: images picked one by one. A signed cookie keeps it, so that it fills no database.

A basket that was filled before signing in stays afterwards. One that was filled by a user is for
that user alone: whoever uses the browser after a sign-out finds it empty.
"""

from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest

from catalog.models import Image
from catalog.search.filters.fields import MAX_PICKED_IMAGES

MAX_AGE_SECONDS = 14 * 24 * 3600


class BasketFull(Exception):
    """The basket holds no more images; the message says what to do."""


def cookie_name() -> str:
    # Two sites under one name have two names for their sessions.
    return f"{settings.SESSION_COOKIE_NAME}_basket"


def read_basket(request: HttpRequest) -> list[int]:
    """Ids of the images in the basket, ascending."""
    kept: Any = request  # Where this request has changed the basket, the cookie is older.
    if not hasattr(kept, "basket_ids"):
        kept.basket_ids = _decode(request.COOKIES.get(cookie_name(), ""), _salts(request))
    ids: list[int] = kept.basket_ids
    return ids


def update_basket(request: HttpRequest, *, shown: Iterable[int], ticked: Iterable[int]) -> None:
    """Keep exactly the ticked images of those shown on the page; images of other pages stay.

    The view has to put ``make_cookie`` into its response.

    Raises:
        BasketFull: there are too many; the basket is unchanged.
    """
    shown_ids, ticked_ids = set(shown), set(ticked)
    wanted = (set(read_basket(request)) - shown_ids) | ticked_ids
    known = set(Image.objects.active().filter(pk__in=wanted).values_list("pk", flat=True))
    if len(known) > MAX_PICKED_IMAGES:
        raise BasketFull(
            f"At most {MAX_PICKED_IMAGES} images can be picked one by one. "
            "Use filters and “Build collection from all” for more."
        )
    _set_basket(request, sorted(known))


def clear_basket(request: HttpRequest) -> None:
    """Take all images out; the view has to put ``make_cookie`` into its response."""
    _set_basket(request, [])


def make_cookie(request: HttpRequest) -> str:
    """The value of the cookie that keeps the basket; empty for an empty one."""
    ids = read_basket(request)
    # Differences are short, and so is the cookie: browsers drop one of more than 4 KB.
    steps = [after - before for before, after in pairwise([0, *ids])]
    return signing.dumps(steps, salt=_salts(request)[0], compress=True) if ids else ""


def _decode(cookie: str, salts: Iterable[str]) -> list[int]:
    for salt in salts:
        try:
            steps: list[int] = signing.loads(cookie, salt=salt, max_age=MAX_AGE_SECONDS)
        except signing.BadSignature:
            continue
        return list(accumulate(steps))
    return []


def _salts(request: HttpRequest) -> list[str]:
    """The user's own, with which cookies are signed, and that of visitors."""
    user: Any = request.user
    return [f"basket-{user.pk}", "basket-None"]


def _set_basket(request: HttpRequest, ids: list[int]) -> None:
    changed: Any = request
    changed.basket_ids = ids
