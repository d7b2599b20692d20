"""One listed file, from where it lies to a file on the disk, checked on the way."""

import hashlib
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import IO, NamedTuple

from django.conf import settings

from catalog.storage.problems import Changed, ListedFile, Unreachable
from catalog.storage.series import HAS_ENDING
from catalog.storage.sources import MOST_SECONDS, read_file
from catalog.wording.formats import file_size

_HEAD = 1024


class FetchedFile(NamedTuple):
    """What was learnt of a file: size in bytes, SHA-256 (lower-case hex) and CRC-32 (unsigned).

    ``suffix`` is what its name lacks: ``.dcm`` if it is DICOM and its name has no ending. ``tag``
    is that with which it was listed.
    """

    name: str
    size: int
    sha256: str
    crc32: int
    suffix: str = ""
    tag: str = ""


def download(
    output: IO[bytes],
    address: str,
    file: ListedFile,
    *,
    sha256: str = "",
    seconds: int = MOST_SECONDS,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> FetchedFile:
    """Write a listed file to an empty ``output`` and check it, once, within ``seconds``.

    As ``FileCache.fetch``, which tries it again.
    """
    done, head = 0, b""
    digest, crc32 = hashlib.sha256(), 0
    rate = _Rate()
    try:
        for chunk in read_file(address, file, seconds=seconds):
            done += len(chunk)
            on_bytes(len(chunk))
            if done > file.size:
                raise Changed(f"it is longer than was listed ({file.size:,} bytes)")
            rate.add(len(chunk))
            output.write(chunk)
            head += chunk[: _HEAD - len(head)]
            digest.update(chunk)
            crc32 = zlib.crc32(chunk, crc32)
        if done < file.size:
            raise Unreachable(f"it ended after {done:,} of {file.size:,} bytes")
        if sha256 and digest.hexdigest() != sha256:
            raise Changed("it is no longer what was frozen (SHA-256)")
        _refuse_placeholder(head, file.name)
    except BaseException:
        if done:
            with suppress(Exception):
                on_bytes(-done)
        raise
    suffix = _find_suffix(file.name, head)
    return FetchedFile(file.name, done, digest.hexdigest(), crc32, suffix, file.tag)


def _refuse_placeholder(head: bytes, name: str) -> None:
    """Raises Changed for a page, text, empty file or pointer of Git, answered as the file."""
    # As below.
    from catalog.imaging.content import find_placeholder, is_text_instead  # noqa: PLC0415

    if problem := find_placeholder(head):
        raise Changed(f"the source sends {problem.value[0]}")
    if is_text_instead(head, name):
        raise Changed("the source sends a text instead of the image")


def _find_suffix(name: str, head: bytes) -> str:
    """What the name of a DICOM file lacks."""
    if HAS_ENDING.search(name):
        return ""
    # Only here, as the start of every process would take half as long again with the parsers.
    from catalog.imaging.dicom.stream import is_dicom  # noqa: PLC0415

    return ".dcm" if is_dicom(head) else ""


class _Rate:
    """Raises Unreachable where bytes come too slowly for long; a dead connection has a timeout."""

    def __init__(self) -> None:
        self._since, self._count = time.monotonic(), 0

    def add(self, count: int) -> None:
        self._count += count
        seconds = time.monotonic() - self._since
        if seconds < settings.FETCH_STALL_SECONDS:
            return
        if self._count < seconds * settings.FETCH_MIN_RATE:
            raise Unreachable(
                f"the source sends less than {file_size(settings.FETCH_MIN_RATE)} a second"
            )
        self._since, self._count = time.monotonic(), 0
