"""What a preview is, for those who show or keep one; ``rendering`` makes it."""

from dataclasses import dataclass

CONTENT_TYPE = "image/webp"


@dataclass(frozen=True, slots=True)
class Preview:
    """A WebP, and what a page should say of it: which frame it is, what was guessed."""

    body: bytes
    notes: tuple[str, ...] = ()
