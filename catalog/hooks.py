"""What an app above the catalog tells it when it is ready: who holds images, so that they stay."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageHolder:
    """Rows of another app that point at images.

    ``rows`` leads from an image to them, ``user`` from one of them to its owner, both as in a
    lookup of Django; ``name`` is what people call them, in the plural.
    """

    name: str
    rows: str
    user: str


image_holders: list[ImageHolder] = []
