"""Temporary tables for the rows of an import, filled by COPY.

A thread sends the lines in blocks, so that PostgreSQL reads one block while Python makes the next.
A connection cannot be used during a COPY, so every other query waits for the block being sent.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import Any

from django.db import Error, connection, transaction

from catalog.importers import queries
from catalog.importers.encoding import LINE

# About a tenth of a second of Python. Smaller blocks cost more to pass on than they save.
BLOCK_CHARACTERS = 2_000_000
REJECTED_BATCH = 1_000

_COPY = "COPY staged_image ({columns}) FROM STDIN"
_REJECT = "INSERT INTO staged_reject SELECT unnest(%s::text[])"


class Staging:
    """The tables ``staged_image``, with the columns of ``LINE``, and ``staged_reject``.

    ``staged_reject`` has the source ids of bad rows, whose images are not removed. Both tables
    belong to the session: rows are staged outside any transaction, so that none is open, and no
    row of the catalog is locked, for the hours that reading may take.
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
        """Record the source id of a bad row."""
        self._rejected.append(source_id)
        if len(self._rejected) >= REJECTED_BATCH:
            self._flush_rejected()

    def finish(self) -> None:
        """Send the remaining rows, and wait until all are stored."""
        self._send()
        self._flush_rejected()
        # To begin a transaction is no query, and would change the connection under the COPY.
        self.wait()
        with transaction.atomic(), connection.cursor() as cursor:
            # Only columns that are compared and joined: analysing JSON would take longer than all.
            # Of these a small sample is enough, as the planner's join methods are set.
            cursor.execute("SET LOCAL default_statistics_target = 10")
            cursor.execute("ANALYZE staged_image (n, source_id, modality_id, area_id, sex)")
            cursor.execute("ANALYZE staged_reject")

    def wait(self) -> None:
        """Wait until the connection is free; raises the exception of the thread."""
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
    """Create the tables, and drop them; every query inside waits for the block being sent."""
    with connection.cursor() as cursor:
        columns = ", ".join(f"{name} {kind}" for name, kind in LINE.items())
        cursor.execute(queries.MAKE_TABLES.format(columns=columns))
    try:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="copy") as pool:
            staging = Staging(pool)
            with connection.execute_wrapper(staging.wait_and_execute):
                yield staging
    finally:
        # Without its connection, or in a transaction that failed, they are gone already.
        with suppress(Error), connection.cursor() as cursor:
            cursor.execute(queries.DROP_TABLES)


def _copy(raw: Any, block: bytes) -> None:
    with raw.cursor() as cursor:
        # In one piece: for each further one the thread would wait for the interpreter lock.
        size = len(block) + 1
        cursor.copy_expert(_COPY.format(columns=", ".join(LINE)), BytesIO(block), size=size)
