"""What both kinds of storage have in common: names, errors, and what a storage can do."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol
from uuid import UUID

from collections_app.archive import PartSink
from collections_app.models import Collection

PARTIAL = ".part"
# Archives of this version, and of those before it, which began with the fingerprint.
ARCHIVE_NAME = re.compile(r"[0-9a-f-]{36,64}\.[0-9a-f-]{36}\.zip")
PARTIAL_NAME = re.compile(r"[0-9a-f-]{36,64}\.[0-9a-f-]{36}\.part")


class ArchiveTrouble(Exception):
    """The archive is missing (``is_missing``), or the file is not the one that was built."""

    def __init__(self, *, is_missing: bool) -> None:
        super().__init__("the archive is missing" if is_missing else "this is not the archive")
        self.is_missing = is_missing


class StorageTrouble(OSError):
    """The object storage does not do what it is asked to; ``strerror`` says why, for users."""


def plain_name(relative: str) -> str:
    """The name of an archive; a row that was restored may have a path, which leads nowhere."""
    name = relative.rpartition("/")[2]
    return name if name not in ("", ".", "..") else "no-archive"


def archive_name(collection_uuid: UUID, token: UUID) -> str:
    """A path for this attempt only, so that an attempt that fails deletes no other's file."""
    return f"{collection_uuid}.{token}.zip"


def partial_name(collection_uuid: UUID, token: UUID) -> str:
    """The path to which an attempt writes on a disk; such a file is never sent to anybody."""
    return f"{collection_uuid}.{token}{PARTIAL}"


class ArchiveStore(Protocol):
    """Where archives lie. Paths are those of ``Collection.archive_path``."""

    def new_archive(
        self,
        collection_uuid: UUID,
        token: UUID,
        *,
        fingerprint: str,
        size: int,
        on_wait: Callable[[], None],
    ) -> AbstractContextManager[BinaryIO | PartSink]:
        """An archive that is there when the block succeeds; when it fails, nothing is left of it.

        ``size`` is about as large as it becomes. ``on_wait`` is called while nothing can be
        written; it may raise to end that. Raises OSError.
        """

    def open_archive(self, relative: str, size: int | None) -> BinaryIO:
        """The archive, open for reading from its start.

        Raises:
            ArchiveTrouble: it is missing, or its size is not ``size``.
            OSError: it cannot be opened.
        """

    def has_archive(self, relative: str, size: int | None) -> bool:
        """Whether it is there, with this size; raises OSError."""

    def find_missing(self, ready: Iterable[Collection]) -> list[Collection]:
        """Those whose archive is not there or has another size; raises OSError."""

    def find_modified(self, verified: Iterable[Collection]) -> list[Collection]:
        """Those whose archive was changed since it was verified; raises OSError."""

    def sync_archive(self, relative: str, file: BinaryIO) -> None:
        """Make sure that it would survive a power cut; raises OSError."""

    def mark_verified(self, relative: str, fingerprint: str) -> None:
        """Let ``find_modified`` not find it any more."""

    def sign_download(
        self, relative: str, size: int | None, *, file_name: str, is_head: bool
    ) -> str:
        """An address from which its bytes can be had for a while; "" if the site sends them.

        Raises as ``open_archive`` does.
        """

    def free_bytes(self, *, freed: int) -> int | None:
        """Bytes free for archives once ``freed`` are free too; None if there is no such limit."""

    def remove_archive(self, relative: str) -> None:
        """Delete an archive, or what is left of one; raises OSError."""

    def remove_partials(self, collection_uuid: UUID) -> None:
        """Delete what a collection's earlier attempts have left; raises OSError."""

    def iter_old_files(self, *, older_than: float) -> Iterator[str]:
        """Paths of all that was not changed for ``older_than`` seconds; raises OSError."""

    def require_answer(self) -> None:
        """Raises StorageTrouble if the storage does not answer; a disk is not asked."""

    def probe(self) -> None:
        """Find out whether all of this can be done; raises StorageTrouble."""
