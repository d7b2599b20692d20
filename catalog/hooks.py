"""Hooks for the apps above the catalog: they register here which images must not be deleted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageHolder:
    """Rows of another app that point at images, which therefore must not be deleted.

    ``rows`` is the Django lookup from an image to these rows, ``user`` the lookup from such a row
    to its owner; ``name`` is the plural noun for messages.
    """

    name: str
    rows: str
    user: str


image_holders: list[ImageHolder] = []
