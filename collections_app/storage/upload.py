"""One upload in parts: a few at a time, and nothing left behind unless it is completed."""

import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from collections_app.storage.base import StorageTrouble
from collections_app.storage.client import ERRNO, code_of, explained, make_client
from collections_app.storage.patience import asking_briefly

logger = logging.getLogger(__name__)

MB = 1 << 20
PART_SIZE = 8 * MB
PARALLEL = 8
# S3 allows 10,000. Half of them are for archives that become larger than was thought.
USED_PARTS = 5_000
MAX_PARTS = 10_000
WAIT_SECONDS = 0.5
HEADERS = {"ContentType": "application/zip"}


def choose_part_size(size: int) -> int:
    """For an archive of about ``size`` bytes; the same each time, so that ETags are."""
    return max(PART_SIZE, -(-size // USED_PARTS // MB) * MB)


class Upload:
    """An upload to ``key``. Its requests run in threads; what aborts it runs in the caller's.

    ``on_wait`` is called twice a second while nothing more can be sent; it may raise.
    """

    def __init__(self, client: Any, bucket: str, key: str, on_wait: Callable[[], None]) -> None:
        self._client = client
        self._where = {"Bucket": bucket, "Key": key}
        self._on_wait = on_wait
        self._etags: dict[int, str] = {}
        self._sent = 0
        self._is_completing = False
        self._upload: dict[str, str] = {}
        self._threads = ThreadPoolExecutor(PARALLEL, thread_name_prefix="upload")
        self._pending: set[Future[None]] = {self._threads.submit(self._create)}
        try:
            self._await(0)
        except BaseException:
            # An upload that is made later is left to the next attempt, or to the sweep.
            self._threads.shutdown(wait=False)
            raise

    def send(self, number: int, part: bytearray) -> None:
        """Send a part when there is room; raises what went wrong with it or one before."""
        if number > MAX_PARTS:
            raise StorageTrouble(ERRNO, f"it has more than {MAX_PARTS:,} parts; tell the operator")
        self._await(PARALLEL - 1)
        self._sent += len(part)
        self._pending.add(self._threads.submit(self._put, number, part))

    def complete(self) -> None:
        """Make it an object."""
        self._await(0)
        self._is_completing = True
        self._pending.add(self._threads.submit(self._complete))
        self._await(0)
        self._threads.shutdown()

    def abort(self) -> None:
        """Remove all parts, or the object; what fails is left to the sweep."""
        self._threads.shutdown(cancel_futures=True)
        try:
            with asking_briefly():  # after the last heartbeat
                self._forget(make_client())
        except StorageTrouble as error:
            logger.warning("an upload is left to the sweep: %s: %s", self._where["Key"], error)

    def _forget(self, client: Any) -> None:
        with explained(), suppress(client.exceptions.NoSuchUpload):
            client.abort_multipart_upload(**self._upload)
        if self._is_completing:
            with explained():
                client.delete_object(**self._where)

    def _await(self, number: int) -> None:
        """Wait until at most ``number`` requests are under way."""
        while True:
            done, self._pending = wait(
                self._pending,
                timeout=WAIT_SECONDS if len(self._pending) > number else 0,
                return_when=FIRST_COMPLETED,
            )
            for future in done:
                future.result()
            if len(self._pending) <= number:
                return
            self._on_wait()

    def _create(self) -> None:
        with explained():
            made = self._client.create_multipart_upload(**self._where, **HEADERS)
            self._upload = {**self._where, "UploadId": made["UploadId"]}

    def _put(self, number: int, part: bytearray) -> None:
        with explained():
            answer = self._client.upload_part(**self._upload, PartNumber=number, Body=part)
            self._etags[number] = answer["ETag"]

    def _complete(self) -> None:
        parts = [{"PartNumber": n, "ETag": etag} for n, etag in sorted(self._etags.items())]
        with explained():
            try:
                self._client.complete_multipart_upload(
                    **self._upload, MultipartUpload={"Parts": parts}
                )
            except ClientError as error:
                # The answer to the first try may have been lost.
                if code_of(error) != "NoSuchUpload" or not self._is_there():
                    raise

    def _is_there(self) -> bool:
        try:
            found = self._client.head_object(**self._where)
        except ClientError:
            return False
        return bool(found["ContentLength"] == self._sent)
