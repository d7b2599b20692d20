"""Rendered previews, cached on disk by the SHA-256 of the image, with what a page says of them."""

import contextlib
from pathlib import Path

from django.conf import settings
from prometheus_client import Counter

from catalog.files import open_image
from catalog.imaging.rendering import Preview, render_preview
from catalog.models import Image
from catalog.preview_cache import NOTES, PICTURE, Eviction, evict, read_cached, write_cached

PREVIEW_SIZES = {"small": 256, "large": 1024}  # pixels on the longest edge
# Raise it when a change makes the same file render differently.
RENDER_VERSION = 2
_VERSION = f"v{RENDER_VERSION}"
_BYTES = "bytes"  # the file with the size of the cache
_SHOWN = Counter("medagg_previews", "Previews: from the cache, rendered, failed.", ["source"])


def preview_etag(image: Image, size: int) -> str:
    return f'"{image.sha256}-{size}-{RENDER_VERSION}"'


def cached_preview(image: Image, size: int) -> Preview:
    """The preview, from the cache or rendered now.

    Raises:
        CannotRender, UnsafePath, OSError: as rendering and opening do; nothing is cached then.
    """
    if kept := find_cached_preview(image, size):
        _SHOWN.labels("cache").inc()
        return kept
    with _SHOWN.labels("failed").count_exceptions(), open_image(image) as file:
        preview = render_preview(file, name=image.file_path, max_edge=size)
    _SHOWN.labels("rendered").inc()
    _keep(_cache_file(image.sha256, size), preview)
    return preview


def find_cached_preview(image: Image, size: int) -> Preview | None:
    """The preview if it has been rendered before; None without a look at the image's file."""
    target = _cache_file(image.sha256, size)
    try:
        body = read_cached(target)
    except OSError:  # also of a cache that cannot be read: the preview is rendered then
        return None
    with contextlib.suppress(FileNotFoundError):
        notes = target.with_suffix(NOTES).read_text(encoding="utf-8")
        return Preview(body, tuple(notes.splitlines()))
    return Preview(body)


def evict_previews() -> Eviction:
    """Bring the cache below its limit; a task does it every few minutes."""
    root: Path = settings.PREVIEW_ROOT
    done = evict(root, current=_VERSION, max_bytes=settings.PREVIEW_CACHE_MAX_BYTES)
    if root.exists():
        (root / _BYTES).write_text(str(done.kept_bytes), encoding="ascii")
    return done


def cached_bytes() -> int:
    """The bytes of the cache as the last eviction counted them; 0 before the first."""
    try:
        return int((settings.PREVIEW_ROOT / _BYTES).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _keep(target: Path, preview: Preview) -> None:
    """For the next request, if there is room; this one has its preview already."""
    files = {target: preview.body}
    if preview.notes:
        # Before the picture: where that is found, the notes are there too.
        notes = "\n".join(preview.notes).encode()
        files = {target.with_suffix(NOTES): notes, **files}
    for path, body in files.items():
        if not write_cached(path, body, reserve=settings.PREVIEW_RESERVE_BYTES):
            return


def _cache_file(sha256: str, size: int) -> Path:
    return settings.PREVIEW_ROOT / _VERSION / sha256[:2] / f"{sha256}-{size}{PICTURE}"
