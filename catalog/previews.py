"""Rendered previews, cached on disk by the SHA-256 of the image, with what a page says of them."""

import contextlib
import os
import tempfile
from pathlib import Path

from django.conf import settings

from catalog.files import open_image
from catalog.imaging.rendering import Preview, render_preview
from catalog.models import Image

PREVIEW_SIZES = {"small": 256, "large": 1024}  # pixels on the longest edge
# Raise it when a change makes the same file render differently.
RENDER_VERSION = 2
_NOTES = ".txt"  # beside the picture, where there are any


def preview_etag(image: Image, size: int) -> str:
    return f'"{image.sha256}-{size}-{RENDER_VERSION}"'


def cached_preview(image: Image, size: int) -> Preview:
    """The preview, from the cache or rendered now.

    Raises:
        CannotRender, UnsafePath, OSError: as rendering and opening do; nothing is cached then.
    """
    if kept := find_cached_preview(image, size):
        return kept
    with open_image(image) as file:
        preview = render_preview(file, name=image.file_path, max_edge=size)
    target = _cache_file(image.sha256, size)
    if preview.notes:
        # Before the picture: where that is found, the notes are there too.
        _write_whole(target.with_suffix(_NOTES), "\n".join(preview.notes).encode())
    _write_whole(target, preview.body)
    return preview


def find_cached_preview(image: Image, size: int) -> Preview | None:
    """The preview if it has been rendered before; None without a look at the image's file."""
    target = _cache_file(image.sha256, size)
    try:
        body = target.read_bytes()
    except FileNotFoundError:
        return None
    with contextlib.suppress(FileNotFoundError):
        notes = target.with_suffix(_NOTES).read_text(encoding="utf-8")
        return Preview(body, tuple(notes.splitlines()))
    return Preview(body)


def _cache_file(sha256: str, size: int) -> Path:
    return settings.PREVIEW_ROOT / f"v{RENDER_VERSION}" / sha256[:2] / f"{sha256}-{size}.webp"


def _write_whole(target: Path, body: bytes) -> None:
    """Safe for requests that render the same preview: each writes its own file, the last wins."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=target.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        Path(partial).replace(target)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
