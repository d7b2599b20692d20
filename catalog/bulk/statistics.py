"""Keeps what PostgreSQL's planner knows of tables true while a transaction fills them.

autovacuum comes once a minute at best, and never sees rows that are not committed. A plan for a
table that was small then reads a whole table for each row that is written: minutes for 6,000 rows.
"""

from collections.abc import Sequence

from django.db.backends.utils import CursorWrapper

# A table that somebody else has locked is skipped: nobody waits for this.
_UNAWARE = """
    SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
     WHERE oid = ANY(%s::regclass[]) AND reltuples < 2 * %s::bigint
"""


def refresh_statistics(cursor: CursorWrapper, tables: Sequence[str], *, num_rows: int) -> None:
    """ANALYZE those of the tables of which ``num_rows`` are half of the known rows, or more."""
    cursor.execute(_UNAWARE, [list(tables), num_rows])
    (unaware,) = cursor.fetchone()
    if unaware:
        cursor.execute(f"ANALYZE (SKIP_LOCKED) {unaware}")
