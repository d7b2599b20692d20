"""Archives in object storage: one object for each finished build, in a bucket of S3 or its like.

Builds upload, browsers download; the site itself only signs addresses.
"""

import io
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from django.utils.http import content_disposition_header

from collections_app.archive import PartSink
from collections_app.models import Collection
from collections_app.storage.base import (
    ARCHIVE_NAME,
    ArchiveTrouble,
    StorageTrouble,
    archive_name,
    plain_name,
)
from collections_app.storage.client import (
    ERRNO,
    MISUNDERSTOOD,
    code_of,
    explained,
    make_client,
)
from collections_app.storage.place import Place, parse_place
from collections_app.storage.upload import HEADERS, Upload, choose_part_size

# An address is for the download that it was asked for; a client that resumes later asks again.
SIGNED_SECONDS = 3600
READ_BUFFER = 1 << 20
# So often in a row may a connection break before it has brought anything.
READ_ATTEMPTS = 4
PROBE = "medagg-check"


class _Listed(NamedTuple):
    size: int
    changed_at: datetime


class BucketStore:
    """An ArchiveStore in a bucket. All of it raises StorageTrouble."""

    def __init__(self, address: str) -> None:
        self._client = make_client()
        # The client is not made for an address that is none.
        self._place: Place = parse_place(address) or Place("", "")

    @contextmanager
    def new_archive(
        self,
        collection_uuid: UUID,
        token: UUID,
        *,
        fingerprint: str,
        size: int,
        on_wait: Callable[[], None],
    ) -> Iterator[PartSink]:
        """Parts are sent as they are written; there is no object before all of them are."""
        key = self._key(archive_name(collection_uuid, token))
        upload = Upload(self._client, self._place.bucket, key, on_wait)
        try:
            yield PartSink(choose_part_size(size), upload.send)
            upload.complete()
        except BaseException:
            upload.abort()
            raise

    def open_archive(self, relative: str, size: int | None) -> BinaryIO:
        """It is read as it comes, and asked for again where the connection breaks."""
        etag = self._find(relative, size)
        reader = _ObjectReader(self._client, self._where(relative), size or 0, etag)
        return io.BufferedReader(reader, READ_BUFFER)

    def has_archive(self, relative: str, size: int | None) -> bool:
        try:
            self._find(relative, size)
        except ArchiveTrouble:
            return False
        return True

    def find_missing(self, ready: Iterable[Collection]) -> list[Collection]:
        # What became ready after the listing would seem to be missing: rows first.
        rows = list(ready)
        if not rows:
            return []
        there = dict(self._list())
        return [
            each
            for each in rows
            if each.archive_path not in there or there[each.archive_path].size != each.archive_size
        ]

    def find_modified(self, verified: Iterable[Collection]) -> list[Collection]:
        """Those that were put there after they were verified."""
        rows = list(verified)
        if not rows:
            return []
        there = dict(self._list())
        return [
            each
            for each in rows
            if each.verified_at
            and each.archive_path in there
            and there[each.archive_path].changed_at > each.verified_at
        ]

    def sync_archive(self, relative: str, file: BinaryIO) -> None:
        """An object that is there was stored before the upload was completed."""

    def mark_verified(self, relative: str, fingerprint: str) -> None:
        """``verified_at`` is mark enough."""

    def sign_download(
        self, relative: str, size: int | None, *, file_name: str, is_head: bool
    ) -> str:
        self._find(relative, size)
        disposition = content_disposition_header(as_attachment=True, filename=file_name)
        address: str = make_client(is_public=True).generate_presigned_url(
            "head_object" if is_head else "get_object",
            Params={
                **self._where(relative),
                "ResponseContentType": HEADERS["ContentType"],
                "ResponseContentDisposition": disposition,
            },
            ExpiresIn=SIGNED_SECONDS,
        )
        return address

    def free_bytes(self, *, freed: int) -> None:
        """A bucket says nothing of its limits."""

    def remove_archive(self, relative: str) -> None:
        with explained():
            self._client.delete_object(**self._where(relative))
        self._abort_uploads(relative)

    def remove_partials(self, collection_uuid: UUID) -> None:
        self._abort_uploads(f"{collection_uuid}.")

    def iter_old_files(self, *, older_than: float) -> Iterator[str]:
        """Archives and uploads; nothing else that lies in the bucket is ours."""
        now = time.time()
        uploads = ((name, upload["Initiated"]) for name, upload in self._iter_uploads(""))
        objects = ((name, found.changed_at) for name, found in self._list())
        for found in (objects, uploads):
            for name, changed_at in found:
                if abs(now - changed_at.timestamp()) > older_than:
                    yield name

    def require_answer(self) -> None:
        """Ask whether the bucket is there."""
        where = self._where(PROBE)
        with explained():
            answer = self._client.list_objects_v2(
                Bucket=where["Bucket"], Prefix=where["Key"], MaxKeys=1
            )
        if "Name" not in answer:
            raise StorageTrouble(ERRNO, MISUNDERSTOOD)

    def probe(self) -> None:
        """Do once what is to be done every day; what this leaves behind is nothing."""
        where = self._where(PROBE)
        with explained():
            upload = {
                **where,
                "UploadId": self._client.create_multipart_upload(**where)["UploadId"],
            }
            try:
                self._client.upload_part(**upload, PartNumber=1, Body=b"?")
            finally:
                self._client.abort_multipart_upload(**upload)
            self._client.delete_object(**where)
            self._client.list_objects_v2(Bucket=where["Bucket"], Prefix=where["Key"], MaxKeys=1)
            self._client.list_multipart_uploads(Bucket=where["Bucket"], Prefix=where["Key"])

    # --- The bucket ---
    def _key(self, relative: str) -> str:
        """Of an archive; of nothing what all keys begin with."""
        return f"{self._place.prefix}{plain_name(relative) if relative else ''}"

    def _where(self, relative: str) -> dict[str, str]:
        return {"Bucket": self._place.bucket, "Key": self._key(relative)}

    def _find(self, relative: str, size: int | None) -> str:
        """Its ETag; raises ArchiveTrouble."""
        found_size, etag = self._head(relative)
        if found_size != size:
            raise ArchiveTrouble(is_missing=False)
        return etag

    def _head(self, relative: str) -> tuple[int, str]:
        """Its size and ETag."""
        where = self._where(relative)
        with explained():
            try:
                found = self._client.head_object(**where)
                return found["ContentLength"], found["ETag"]
            except ClientError as error:
                if code_of(error) not in ("404", "NoSuchKey"):
                    raise
            # Without a body the answer does not say whether the bucket is there.
            self._client.list_objects_v2(Bucket=where["Bucket"], Prefix=where["Key"], MaxKeys=1)
        raise ArchiveTrouble(is_missing=True)

    def _list(self) -> Iterator[tuple[str, _Listed]]:
        """All archives by name."""
        for each in self._iter_pages("list_objects_v2", "Contents", ""):
            name = each["Key"].removeprefix(self._place.prefix)
            if ARCHIVE_NAME.fullmatch(name):
                yield name, _Listed(each["Size"], each["LastModified"])

    def _iter_uploads(self, begin: str) -> Iterator[tuple[str, Any]]:
        """All uploads to names that begin so."""
        for each in self._iter_pages("list_multipart_uploads", "Uploads", begin):
            name = each["Key"].removeprefix(self._place.prefix)
            if ARCHIVE_NAME.fullmatch(name):
                yield name, each

    def _iter_pages(self, operation: str, what: str, begin: str) -> Iterator[Any]:
        pages = self._client.get_paginator(operation).paginate(
            Bucket=self._place.bucket, Prefix=self._key(begin)
        )
        with explained():
            for page in pages:
                # Both listings say of which bucket they are.
                if "Name" not in page and "Bucket" not in page:
                    raise StorageTrouble(ERRNO, MISUNDERSTOOD)
                yield from page.get(what, ())

    def _abort_uploads(self, begin: str) -> None:
        for name, upload in list(self._iter_uploads(begin)):
            with explained(), suppress(self._client.exceptions.NoSuchUpload):  # it has just ended
                self._client.abort_multipart_upload(
                    **self._where(name), UploadId=upload["UploadId"]
                )


class _ObjectReader(io.RawIOBase):
    """The bytes of an object from its start; always of the one that has this ETag."""

    def __init__(self, client: Any, where: dict[str, str], size: int, etag: str) -> None:
        self._client = client
        self._where = where
        self._size = size
        self._etag = etag
        self._position = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        wanted = min(len(view), self._size - self._position)
        if not wanted:
            return 0
        piece = self._read(wanted)
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        self._give_up()
        super().close()

    def _read(self, wanted: int) -> bytes:
        for attempt in range(READ_ATTEMPTS):
            with suppress(BotoCoreError):
                piece: bytes = self._open().read(wanted)
                if piece:
                    return piece
            self._give_up()
            time.sleep(0.1 * 2**attempt)
        raise StorageTrouble(ERRNO, "the connection to the object storage breaks again and again")

    def _open(self) -> Any:
        if self._body is None:
            with explained():
                answer = self._client.get_object(
                    **self._where, IfMatch=self._etag, Range=f"bytes={self._position}-"
                )
                # A proxy that does not pass the range on sends all of it again.
                found = answer.get("ContentRange", "bytes 0-")
                if not found.startswith(f"bytes {self._position}-"):
                    answer["Body"].close()
                    raise StorageTrouble(ERRNO, MISUNDERSTOOD)
            self._body = answer["Body"]
        return self._body

    def _give_up(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
