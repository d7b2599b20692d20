"""Empties the database behind a test that commits: only what the test has filled.

Django truncates all tables and makes permissions and content types anew, which takes longer than
most of such tests.
"""

from django.db import connection, transaction
from django.test import TransactionTestCase

# `migrate` fills them, and no test changes them.
KEPT = {"auth_permission", "django_content_type"}
# Fewer rows are deleted within milliseconds; TRUNCATE makes new files for all tables and indexes.
MANY_ROWS = 1000
SIZE = "SELECT '{0}', EXISTS (SELECT FROM {0} OFFSET {1}) WHERE EXISTS (SELECT FROM {0})"


def empty_only_what_is_filled() -> None:
    """For all tests of this process."""
    # pytest-django makes the class of each test and asks for none of ours.
    TransactionTestCase._fixture_teardown = _empty_tables  # type: ignore[attr-defined]


def _empty_tables(_: TransactionTestCase) -> None:
    found = connection.introspection.django_table_names(only_existing=True, include_views=False)
    tables = [connection.ops.quote_name(name) for name in {*found} - KEPT]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(SIZE.format(table, MANY_ROWS) for table in tables))
        are_large = dict(cursor.fetchall())
        if any(are_large.values()):
            cursor.execute(f"TRUNCATE {', '.join(are_large)} CASCADE")
            return
        # Foreign keys are deferred. The version of the vocabularies, which triggers raise, is last.
        for table in sorted(are_large):
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - our own tables  # nosec
