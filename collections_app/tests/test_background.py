"""Threads beside a build: what they make arrives in order, and they leave nothing behind."""

from collections.abc import Iterator

import pytest
from django.db import connection

from collections_app.background import in_background, read_ahead

pytestmark = pytest.mark.django_db(transaction=True)


def ask(number: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
        return int(cursor.fetchone()[0])


def count_sessions() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend'"
        )
        return int(cursor.fetchone()[0])


@pytest.fixture(autouse=True)
def no_session_stays() -> Iterator[None]:
    before = count_sessions()
    yield
    # The server takes a moment to notice that a client has gone.
    for _ in range(200):
        if count_sessions() <= before:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.02)")
    pytest.fail("a thread has left its connection open")


def test_items_come_in_their_order() -> None:
    assert list(read_ahead(map(ask, range(20)))) == list(range(20))
    assert list(read_ahead([])) == []


def test_one_may_stop_before_the_end() -> None:
    ahead = read_ahead(map(ask, range(20)))
    assert next(ahead) == 0
    ahead.close()  # type: ignore[attr-defined]


def test_an_error_comes_in_its_turn() -> None:
    ahead = read_ahead(ask(1 // (2 - number)) for number in range(5))
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(ahead)


def test_work_is_done_beside_the_block() -> None:
    with in_background(lambda: ask(7)) as answer:
        assert ask(8) == 8
    assert answer.result() == 7


def test_the_error_of_such_work_is_its_result() -> None:
    with in_background(lambda: 1 // 0) as answer:
        pass
    with pytest.raises(ZeroDivisionError):
        answer.result()
