"""DICOM files that are de-identified on their way into an archive."""

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection

from catalog.deidentification import (
    deidentifies_on_delivery,
    deidentify_file,
    must_be_deidentified,
)
from catalog.imaging.problems import NotReadable
from collections_app.archive import BadEntry, FileEntry, TextEntry, open_confirmed
from collections_app.builds import queries
from collections_app.models import Collection
from collections_app.provenance_keys import NUM_FILES
from collections_app.selection.copying import iter_positions
from collections_app.selection.database_space import GROWTH, require_room
from collections_app.storage import archive_store

BATCH = 500
_CHUNK = 1 << 20


@dataclass
class DeliveredFacts:
    """Keeps size and SHA-256 of what was written, with the frozen items; writes only what changed.

    Those of the files of a series are kept by their names; ``finish`` sums them up. While files
    are only checked, before an archive is given up, nothing ``is_kept``, and the room for all that
    is to be written is asked for.

    Raises:
        DatabaseIsFull: what changed would take the database's reserve.
    """

    collection: Collection
    is_kept: bool = True
    _waiting: list[tuple[int, str, int, str]] = field(default_factory=list)
    _unkept_bytes: int = 0

    def add(self, position: int, name: str, size: int, sha256: str) -> None:
        name = name.removeprefix(f"{self.collection.slug}/")
        self._waiting.append((position, name, size, sha256))
        if len(self._waiting) >= BATCH:
            self._flush()

    def finish(self, on_step: Callable[[], None] = lambda: None) -> None:
        """Everything was written, or checked; ``on_step`` is called after each query."""
        self._flush()
        has_series = NUM_FILES in self.collection.provenance
        if not self.is_kept or not has_series or not deidentifies_on_delivery():
            return
        for first, last in iter_positions(self.collection):
            sums = queries.SUM_DELIVERED.format(
                collection=int(self.collection.pk), first=first, last=last
            )
            with connection.cursor() as cursor:
                cursor.execute(sums)
                if cursor.rowcount:
                    require_room()
            on_step()

    def _flush(self) -> None:
        if not self._waiting:
            return
        columns = map(list, zip(*self._waiting, strict=True))
        given: list[Any] = [*columns, self.collection.pk]
        with connection.cursor() as cursor:
            cursor.execute(queries.SIZE_OF_NEWLY_DELIVERED, given)
            # Each row is written anew, with all that its source says.
            if size := cursor.fetchone()[0]:
                require_room(self._unkept_bytes + size * GROWTH)
                if self.is_kept:
                    cursor.execute(queries.SET_DELIVERED, given)
                else:
                    self._unkept_bytes += size * GROWTH
        self._waiting.clear()


def must_change(entry: FileEntry) -> bool:
    """Whether the file is DICOM that does not say that it was de-identified.

    What cannot be read must be, too: then it is never copied, and reading it again says why.
    """
    try:
        fd = entry.open_fd(entry.path)
    except (OSError, ValueError, BadEntry):
        return True
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        with os.fdopen(fd, "rb", closefd=False) as file:
            return must_be_deidentified(file)
    except OSError:
        return True
    finally:
        os.close(fd)


OnMade = Callable[[int, str, int, str], None]  # position, name, size and SHA-256


def ignore_made(position: int, name: str, size: int, sha256: str) -> None:
    """For those who only look whether files can be made."""


def make_entry(entry: FileEntry, position: int, on_made: OnMade) -> TextEntry:
    """The de-identified file; it is made, and compared with the catalog, when it is written."""
    return TextEntry(entry.name, _make(entry, position, on_made))


def _make(entry: FileEntry, position: int, on_made: OnMade) -> Iterator[bytes]:
    with tempfile.TemporaryFile(dir=settings.VAR_DIR) as made:
        try:
            with open_confirmed(entry) as source:
                deidentify_file(source, made)
        except NotReadable as error:
            raise _refuse(entry, error.reason) from error
        size = os.fstat(made.fileno()).st_size
        # Deflated files grow a thousandfold, which the look at the disk before the build did not
        # see.
        room = archive_store().free_bytes(freed=0)
        if room is not None and size > max(entry.size, room):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        digest = hashlib.sha256()
        while chunk := made.read(_CHUNK):
            digest.update(chunk)
            yield chunk
    on_made(position, entry.name, size, digest.hexdigest())


def _refuse(entry: FileEntry, reason: str) -> BadEntry:
    return BadEntry(entry.name, "unreadable", f"the file is not de-identified: {reason}")
