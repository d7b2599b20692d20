"""Each xdist worker's database: the first to need one migrates it, the others copy that."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from medagg.testing.once import one_after_the_other

TEMPLATE = "medagg_test_template"


@pytest.fixture(scope="session")
def others_wait(django_db_modify_db_settings: None) -> Iterator[Callable[[], None]]:
    """Other workers wait until what it yields is called, or the run ends."""
    with ExitStack() as waiting:
        made = waiting.enter_context(one_after_the_other("database"))
        if made.exists():
            connection.settings_dict["TEST"]["TEMPLATE"] = TEMPLATE

        def let_copy() -> None:
            made.touch()
            waiting.close()

        yield let_copy


@pytest.fixture(scope="session")
def django_db_setup(
    others_wait: Callable[[], None], django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> None:
    if not connection.settings_dict["TEST"].get("TEMPLATE"):
        with django_db_blocker.unblock(), connection._nodb_cursor() as cursor:
            connection.close()  # while somebody is connected, nobody may copy
            cursor.execute(
                f"CREATE DATABASE {TEMPLATE} TEMPLATE {connection.settings_dict['NAME']}"
            )
    others_wait()
