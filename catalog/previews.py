"""Rendered previews, cached on disk by the SHA-256 of the image."""

import contextlib
import os
import tempfile
from pathlib import Path

from django.conf import settings

from catalog.files import open_image
from catalog.imaging.rendering import render_preview
from catalog.models import Image

PREVIEW_SIZES = {"small": 256, "large": 1024}  # pixels on the longest edge
# Raise it when a change makes the same file render differently.
RENDER_VERSION = 1


def preview_etag(image: Image, size: int) -> str:
    return f'"{image.sha256}-{size}-{RENDER_VERSION}"'


def cached_preview(image: Image, size: int) -> bytes:
    """The preview's bytes, from the cache or rendered now.

    Raises:
        CannotRender, UnsafePath, OSError: as rendering and opening do; nothing is cached then.
    """
    target = _cache_file(image.sha256, size)
    with contextlib.suppress(FileNotFoundError):
        return target.read_bytes()
    with open_image(image) as file:
        body = render_preview(file, name=image.file_path, max_edge=size)
    _write_whole(target, body)
    return body


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
