"""Rendered previews, cached on disk by the SHA-256 of the image, with what a page says of them."""

import contextlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from catalog.files import open_image
from catalog.imaging.decoding.decoder import decoder
from catalog.imaging.decoding.turns import Busy, Turns
from catalog.imaging.rendering import CannotRender, Preview
from catalog.models import Image

__all__ = ["PREVIEW_SIZES", "Busy", "cached_preview", "find_cached_preview", "preview_etag"]

PREVIEW_SIZES = {"small": 256, "large": 1024}  # pixels on the longest edge
# Raise it when a change makes the same file render differently.
RENDER_VERSION = 2
_NOTES = ".txt"  # beside the picture, where there are any
_REFUSAL = ".refused"  # instead of the picture
# The other threads are for pages, however many previews are asked for.
_turns = Turns(settings.VAR_DIR / "decoding", most_waiting=max(1, settings.WEB_THREADS // 2))


def preview_etag(image: Image, size: int) -> str:
    return f'"{image.sha256}-{size}-{RENDER_VERSION}"'


def cached_preview(image: Image, size: int) -> Preview:
    """The preview, from the cache or rendered now; who asks for the same meanwhile waits for it.

    Raises:
        CannotRender: there is none, and why. Remembered for this state of the file.
        Busy: it is not this preview's turn yet.
        UnsafePath, OSError: as opening does.
    """
    if kept := find_cached_preview(image, size):
        return kept
    target = _cache_file(image.sha256, size)
    with open_image(image) as file:
        _raise_refusal(target, file)
        with _turns.take(target.name) as wait_for_slot:
            if kept := find_cached_preview(image, size):
                return kept
            _raise_refusal(target, file)
            slot = wait_for_slot()
            return _render(file, image.file_path, size, target, slot)


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


def _render(file: BinaryIO, name: str, size: int, target: Path, slot: int) -> Preview:
    try:
        preview = decoder.decode(file, name=name, max_edge=size, held=[slot])
    except CannotRender as error:
        _remember_refusal(target, file, error)
        raise
    if preview.notes:
        # Before the picture: where that is found, the notes are there too.
        _write_whole(target.with_suffix(_NOTES), "\n".join(preview.notes).encode())
    _write_whole(target, preview.body)
    return preview


def _remember_refusal(target: Path, file: BinaryIO, error: CannotRender) -> None:
    """Keep why there is no preview, so that nobody decodes such a file again and again.

    What the file itself is to blame for holds as long as the file and RENDER_VERSION are the same.
    A decoder that ran out of time may be quicker on another day, so that holds for a while only.
    """
    seconds = getattr(error, "keep_seconds", None)
    refusal = {
        "reason": error.reason,
        "file": _mark(file),
        "until": None if seconds is None else time.time() + seconds,
    }
    _write_whole(target.with_suffix(_REFUSAL), json.dumps(refusal).encode())


def _raise_refusal(target: Path, file: BinaryIO) -> None:
    """Raises CannotRender if that is known of the file as it is now."""
    try:
        refusal = json.loads(target.with_suffix(_REFUSAL).read_bytes())
    except (FileNotFoundError, ValueError):
        return
    is_over = refusal["until"] is not None and refusal["until"] < time.time()
    if refusal["file"] == _mark(file) and not is_over:
        raise CannotRender(refusal["reason"])


def _mark(file: BinaryIO) -> list[int]:
    """What changes when a file is written to or replaced."""
    status = os.fstat(file.fileno())
    return [status.st_size, status.st_mtime_ns]


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
