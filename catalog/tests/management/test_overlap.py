"""Two imports at once: in order, and whatever happens to one of them."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from django.db import connection

from catalog.management.overlap import Overlap, ReadOrder, Stopped, has_succeeded

pytestmark = pytest.mark.django_db(transaction=True)


def read_in_turn(turns: ReadOrder, order: list[int], number: int) -> int:
    with turns.wait_for(number) as pass_on:
        order.append(number)
        pass_on()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.05)")
    return number


def make_tasks(turns: ReadOrder, order: list[int], count: int) -> list[Callable[[], object]]:
    return [partial(read_in_turn, turns, order, number) for number in range(count)]


def test_sources_are_read_in_order_and_reported_in_order() -> None:
    turns, order = ReadOrder(), list[int]()
    with Overlap(make_tasks(turns, order, 6), turns) as overlap:
        assert [future.result() for future in overlap] == list(range(6))
    assert order == list(range(6))


def test_one_that_fails_passes_its_turn_on() -> None:
    turns, order = ReadOrder(), list[int]()

    def fail() -> None:
        with turns.wait_for(1):
            raise ValueError("a bad table")

    tasks = make_tasks(turns, order, 4)
    tasks[1] = fail
    with Overlap(tasks, turns) as overlap:
        failures = [future.exception() is not None for future in overlap]
    assert failures == [False, True, False, False]


def test_one_that_cannot_connect_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns, order = ReadOrder(), list[int]()
    connect = type(connection._connections[connection._alias]).connect  # type: ignore[attr-defined]
    refused: list[int] = []

    def refuse_once(self: object) -> None:
        if threading.current_thread() is not threading.main_thread() and not refused:
            refused.append(1)
            raise ConnectionError("too many clients")
        connect(self)

    monkeypatch.setattr(type(connection._connections[connection._alias]), "connect", refuse_once)  # type: ignore[attr-defined]
    with Overlap(make_tasks(turns, order, 4), turns) as overlap:
        failed = [future.exception() is not None for future in overlap]
    assert failed.count(True) == 1


def test_ctrl_c_stops_what_is_under_way() -> None:
    turns = ReadOrder()

    def sleep(number: int) -> None:
        if number == 0:
            time.sleep(0.5)  # until the main thread waits
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        with turns.wait_for(number) as pass_on, connection.cursor() as cursor:
            pass_on()
            cursor.execute("SELECT pg_sleep(60)")

    tasks = [partial(sleep, number) for number in range(3)]
    with pytest.raises(KeyboardInterrupt), Overlap(tasks, turns) as overlap:
        list(overlap)
    assert [has_succeeded(future) for future in overlap.futures] == [False, False, False]
    with pytest.raises(Stopped):
        turns.check()


def test_ctrl_c_while_threads_are_started_lets_none_begin() -> None:
    turns, order = ReadOrder(), list[int]()

    class Interrupted(list[Callable[[], object]]):
        def __iter__(self) -> Iterator[Callable[[], object]]:
            yield self[0]
            time.sleep(0.2)
            raise KeyboardInterrupt

    tasks = Interrupted(make_tasks(turns, order, 2))
    with pytest.raises(KeyboardInterrupt), Overlap(tasks, turns) as overlap:
        list(overlap)
    assert order == []


def test_what_was_finished_is_told_from_what_was_not() -> None:
    turns, order = ReadOrder(), list[int]()
    with Overlap(make_tasks(turns, order, 2), turns) as overlap:
        list(overlap)
    assert [has_succeeded(future) for future in overlap.futures] == [True, True]
