"""Hooks for the apps above the catalog, which register here what the catalog asks of them."""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class ImageHolder:
    """Rows of another app that point at images, which therefore must not be deleted.

    ``rows`` is the Django lookup from an image to these rows, ``user`` the lookup from such a row
    to its owner; ``name`` is the plural noun for messages.
    """

    name: str
    rows: str
    user: str


# Which images must not be deleted.
image_holders: list[ImageHolder] = []
# Called before something is fetched for a request: the seconds until it may be, else 0.
fetch_throttles: list[Callable[[HttpRequest], int]] = []
