"""A role of the database that may write medagg's tables and nothing else, as on a rented server."""

from collections.abc import Iterator
from contextlib import closing, suppress

import psycopg2
import pytest
from django.conf import settings
from django.db import connection
from psycopg2 import errors

from catalog.bulk.foreign_keys import may_skip_checks
from medagg.runner.embedded.roles import SUPERUSER


@pytest.fixture
def role_without_grant(db: None) -> Iterator[None]:
    """The test goes on as a role that may not switch the checks of foreign keys off."""
    _make_role()
    with connection.cursor() as cursor:
        cursor.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO medagg_plain")
        cursor.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO medagg_plain")
        cursor.execute("SET ROLE medagg_plain")
        if may_skip_checks(cursor):
            pytest.fail("the role may switch checks off")
        yield
        cursor.execute("RESET ROLE")


def _make_role() -> None:
    host = settings.DATABASES["default"]["HOST"]
    made = psycopg2.connect(host=host, user=SUPERUSER, dbname="postgres")
    made.autocommit = True
    with closing(made), made.cursor() as cursor:
        # By another process of a parallel run.
        with suppress(errors.DuplicateObject, errors.UniqueViolation):
            cursor.execute("CREATE ROLE medagg_plain NOLOGIN")
        with suppress(errors.InternalError):
            cursor.execute("GRANT medagg_plain TO medagg")
