"""What rendering gives: pixels for a screen, and what differs from what the file says or holds."""

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of mode L or RGB; `notes` are sentences for the page that shows it."""

    image: Image.Image
    notes: tuple[str, ...] = ()
