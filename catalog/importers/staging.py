"""The rows of an import on their way into the catalog: temporary tables, filled by COPY.

Lines are sent in blocks by a thread, so that PostgreSQL reads one block while Python makes the
next. A connection can do nothing else while it is in the middle of a COPY: whatever else asks it
something waits for the block on its way.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from django.db import connection

from catalog.importers.encoding import LINE

# About a tenth of a second of Python; passing smaller ones to the thread costs more than they save.
BLOCK_CHARACTERS = 2_000_000
REJECTED_BATCH = 1_000

_MAKE_TABLES = """
    DROP TABLE IF EXISTS staged_image, staged_reject;
    CREATE TEMP TABLE staged_image ({columns}) ON COMMIT DROP;
    CREATE TEMP TABLE staged_reject (source_id text) ON COMMIT DROP;
"""
_COPY = "COPY staged_image ({columns}) FROM STDIN"
_REJECT = "INSERT INTO staged_reject SELECT unnest(%s::text[])"


class Staging:
    """The tables ``staged_image``, with the columns of ``LINE``, and ``staged_reject``.

    ``staged_reject`` has the ids of bad rows, whose images are not removed. Both live as
    long as the transaction.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._lines: list[str] = []
        self._size = 0
        self._rejected: list[str] = []
        self._under_way: Future[None] | None = None

    def add_line(self, line: str) -> None:
        """Stage one row; ``line`` is as ``RowEncoder.encode`` makes it."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= BLOCK_CHARACTERS:
            self._send()

    def add_rejected(self, source_id: str) -> None:
        """Remember that the source has this id, though its row is bad."""
        self._rejected.append(source_id)
        if len(self._rejected) >= REJECTED_BATCH:
            self._flush_rejected()

    def finish(self) -> None:
        """Send what is left, and wait for all of it."""
        self._send()
        self._flush_rejected()
        with connection.cursor() as cursor:
            # What is compared and joined; looking into the JSON of a sample takes longer than all.
            cursor.execute("ANALYZE staged_image (n, source_id, modality_id, area_id, sex)")
            cursor.execute("ANALYZE staged_reject")

    def wait(self) -> None:
        """Wait until the connection is free; raises what went wrong in the thread."""
        if self._under_way:
            under_way, self._under_way = self._under_way, None
            with connection.wrap_database_errors:
                under_way.result()

    def wait_and_execute(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        """For ``connection.execute_wrapper``."""
        self.wait()
        return execute(sql, params, many, context)

    def _send(self) -> None:
        block = "".join(self._lines).encode()
        self._lines, self._size = [], 0
        self.wait()
        if block:
            self._under_way = self._pool.submit(_copy, connection.connection, block)

    def _flush_rejected(self) -> None:
        if not self._rejected:
            return
        with connection.cursor() as cursor:
            cursor.execute(_REJECT, [self._rejected])
        self._rejected = []


@contextmanager
def open_staging() -> Iterator[Staging]:
    """Make the tables, within a transaction; any query inside waits for the block on its way."""
    with connection.cursor() as cursor:
        columns = ", ".join(f"{name} {kind}" for name, kind in LINE.items())
        cursor.execute(_MAKE_TABLES.format(columns=columns))
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="copy") as pool:
        staging = Staging(pool)
        with connection.execute_wrapper(staging.wait_and_execute):
            yield staging


def _copy(raw: Any, block: bytes) -> None:
    with raw.cursor() as cursor:
        # In one piece: to read another, the thread would have to wait for its turn in Python.
        size = len(block) + 1
        cursor.copy_expert(_COPY.format(columns=", ".join(LINE)), BytesIO(block), size=size)
