"""Rendered previews, cached on disk by the SHA-256 of the image, with what a page says of them."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from prometheus_client import Counter

from catalog.files import open_image
from catalog.imaging.decoding.decoder import decoder
from catalog.imaging.decoding.turns import Busy, Turns
from catalog.imaging.paths import UnsafePath
from catalog.imaging.preview import Preview
from catalog.imaging.problems import CannotRender
from catalog.models import Image
from catalog.previews.cache import (
    NOTES,
    PICTURE,
    REFUSAL,
    Eviction,
    evict,
    read_cached,
    write_cached,
)
from catalog.storage.web_threads import NoThreadLeft, hold_thread
from catalog.wording.formats import number

__all__ = [
    "NO_PREVIEW",
    "PREVIEW_SIZES",
    "Busy",
    "cached_preview",
    "find_cached_preview",
    "preview_etag",
]

# What is raised where an image has no preview.
NO_PREVIEW = (CannotRender, UnsafePath, OSError)

PREVIEW_SIZES = {"small": 256, "large": 1024}  # pixels on the longest edge
# Raise it when a change makes the same file render differently.
RENDER_VERSION = 3
_VERSION = f"v{RENDER_VERSION}"
_BYTES = "bytes"  # the file with the size of the cache
_SHOWN = Counter("medagg_previews", "Previews: from the cache, rendered, failed.", ["source"])
# The other threads are for pages, however many previews are asked for.
_turns = Turns(settings.VAR_DIR / "decoding", most_waiting=max(1, settings.WEB_THREADS // 4))


def preview_key(image: Image) -> str:
    """What its previews are kept by: what its file is, or where it lies."""
    if image.is_local:
        return image.sha256
    return hashlib.sha256(f"elsewhere {image.remote_url}".encode()).hexdigest()


def preview_etag(image: Image, size: int) -> str:
    return f'"{preview_key(image)}-{size}-{RENDER_VERSION}"'


def cached_preview(image: Image, size: int) -> Preview:
    """The preview, from the cache or rendered now; who asks for the same meanwhile waits for it.

    Raises:
        CannotRender: there is none, and why. Remembered for this state of the file.
        Busy: it is not this preview's turn yet.
        UnsafePath, OSError: there is none, as the file cannot be opened.
    """
    if kept := find_cached_preview(image, size):
        _SHOWN.labels("cache").inc()
        return kept
    target = cache_file(image.sha256, size)
    with _SHOWN.labels("failed").count_exceptions(NO_PREVIEW), open_image(image) as file:
        raise_refusal(target, _mark(file))
        with _hold_thread(), _turns.take(target.name) as wait_for_slot:
            if kept := find_cached_preview(image, size):
                _SHOWN.labels("cache").inc()
                return kept
            raise_refusal(target, _mark(file))
            slot = wait_for_slot()
            try:
                notes = [say_shown_file(image.num_files)] if image.num_files > 1 else []
                preview = _render(file, image.file_path, size, target, slot, tuple(notes))
            except CannotRender as error:
                remember_refusal(target, error, _mark(file))
                raise
    _SHOWN.labels("rendered").inc()
    return preview


@contextlib.contextmanager
def _hold_thread() -> Iterator[None]:
    try:
        with hold_thread():
            yield
    except NoThreadLeft as error:
        raise Busy from error


def find_cached_preview(image: Image, size: int) -> Preview | None:
    """The preview if it has been rendered before; None without a look at the image's file."""
    target = cache_file(preview_key(image), size)
    try:
        body = read_cached(target)
    except OSError:  # also of a cache that cannot be read: the preview is rendered then
        return None
    with contextlib.suppress(FileNotFoundError):
        notes = target.with_suffix(NOTES).read_text(encoding="utf-8")
        return Preview(body, tuple(notes.splitlines()))
    return Preview(body)


def say_shown_file(num_files: int) -> str:
    """Which of the files of a series a preview shows."""
    return f"File {number(num_files // 2 + 1)} of {number(num_files)} of the series is shown."


def draw_previews(file: BinaryIO, name: str, key: str, notes: tuple[str, ...]) -> None:
    """Render the previews of all sizes of a file, and keep them by ``key``, with more notes.

    Raises:
        CannotRender: there is none, and why.
        Busy: it is not their turn yet.
    """
    with _turns.take(key) as wait_for_slot:
        slot = wait_for_slot()
        for size in PREVIEW_SIZES.values():
            _render(file, name, size, cache_file(key, size), slot, notes)


def evict_previews() -> Eviction:
    """Bring the cache below its limit; a task does it every few minutes."""
    root: Path = settings.PREVIEW_ROOT
    done = evict(root, current=_VERSION, max_bytes=settings.PREVIEW_CACHE_MAX_BYTES)
    if root.exists():
        (root / _BYTES).write_text(str(done.kept_bytes), encoding="ascii")
    return done


def _render(
    file: BinaryIO, name: str, size: int, target: Path, slot: int, notes: tuple[str, ...] = ()
) -> Preview:
    preview = decoder.decode(file, name=name, max_edge=size, held=[slot])
    preview = Preview(preview.body, (*preview.notes, *notes))
    _keep(target, preview)
    return preview


def remember_refusal(target: Path, error: CannotRender, mark: Sequence[int] = ()) -> None:
    """Keep why there is no preview, so that nobody decodes such a file again and again.

    What the file itself is to blame for holds as long as the file and RENDER_VERSION are the same.
    A decoder that ran out of time may be quicker on another day, so that holds for a while only.
    ``mark`` tells states of the file from each other.
    """
    seconds = getattr(error, "keep_seconds", None)
    refusal = {
        "reason": error.reason,
        "file": list(mark),
        "until": None if seconds is None else time.time() + seconds,
    }
    path, body = target.with_suffix(REFUSAL), json.dumps(refusal).encode()
    write_cached(path, body, reserve=settings.PREVIEW_RESERVE_BYTES)


def raise_refusal(target: Path, mark: Sequence[int] = ()) -> None:
    """Raises CannotRender if that is known of the file as it is now, which ``mark`` tells."""
    try:
        refusal = json.loads(read_cached(target.with_suffix(REFUSAL)))
    except (OSError, ValueError):  # as in find_cached_preview
        return
    is_over = refusal["until"] is not None and refusal["until"] < time.time()
    if refusal["file"] == list(mark) and not is_over:
        raise CannotRender(refusal["reason"])


def _mark(file: BinaryIO) -> list[int]:
    """What changes when a file is written to or replaced."""
    status = os.fstat(file.fileno())
    return [status.st_size, status.st_mtime_ns]


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


def cache_file(key: str, size: int) -> Path:
    """Where a preview is kept; its notes, or why there is none, have the same stem."""
    return settings.PREVIEW_ROOT / _VERSION / key[:2] / f"{key}-{size}{PICTURE}"
