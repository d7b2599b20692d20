"""Work beside a build: what it makes arrives, in order, and it leaves nothing behind."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from collections_app.archive import BadEntry
from collections_app.background import in_child, read_ahead

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


def test_a_child_computes_beside_the_block_with_a_session_of_its_own() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        ours = cursor.fetchone()[0]

        def find_session() -> tuple[int, int]:
            with connection.cursor() as other:
                other.execute("SELECT pg_backend_pid()")
                return os.getpid(), other.fetchone()[0]

        with in_child(find_session) as answer:
            assert ask(8) == 8
            process, session = answer.result()
    assert process != os.getpid()
    assert session != ours
    assert ask(9) == 9, "the session of the parent goes on"


def test_the_error_of_a_child_is_raised_here() -> None:
    def work() -> None:
        raise BadEntry("x.png", "missing", "the file is not there")

    with in_child(work) as answer, pytest.raises(BadEntry, match="is not there"):
        answer.result()


def test_an_error_that_cannot_travel_keeps_its_words() -> None:
    class Local(Exception):
        pass

    def work() -> None:
        raise Local("so it was")

    with in_child(work) as answer, pytest.raises(RuntimeError, match="Local: so it was"):
        answer.result()


def test_a_child_that_is_killed_has_no_answer() -> None:
    def work() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with in_child(work) as answer, pytest.raises(ChildProcessError, match="has died"):
        answer.result()


def test_a_child_that_is_killed_in_the_middle_of_its_answer_has_none() -> None:
    with in_child(lambda: b"x" * (8 << 20)) as answer:
        deadline = time.monotonic() + 20
        while not select.select([answer._fd], [], [], 0)[0]:
            assert time.monotonic() < deadline
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ChildProcessError, match="has died in its answer"):
            answer.result()


def children() -> list[int]:
    found = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in map(int, found) if is_ours(pid)]


def test_a_child_does_not_outlive_the_block_and_is_waited_for() -> None:
    pid_of: list[int] = []

    def work() -> None:
        time.sleep(600)

    with suppress(KeyError), in_child(work) as answer:

        def give_up() -> None:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
            pid_of.extend(map(int, children.read_text().split()))
            raise KeyError

        answer.result(on_wait=give_up)
    assert pid_of
    assert not [pid for pid in pid_of if Path(f"/proc/{pid}").exists() and is_ours(pid)]


class Interrupted(Exception):
    pass


def test_a_signal_in_the_middle_of_the_fork_is_not_lost() -> None:
    """Python ignores what a handler raises while the functions for a fork run."""
    pid_of: list[int] = []

    def interrupt(*_: object) -> None:
        raise Interrupted

    def send_once() -> None:
        if not pid_of:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
            pid_of.extend(map(int, children.read_text().split()))
            # To this thread: another one, of the test runner, would take it at once.
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, interrupt)
    os.register_at_fork(after_in_parent=send_once)
    try:
        with pytest.raises(Interrupted), in_child(lambda: time.sleep(600)):
            pytest.fail("the block was entered")
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert pid_of
    assert not [pid for pid in pid_of if Path(f"/proc/{pid}").exists() and is_ours(pid)]
    assert signal.SIGUSR2 not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def is_ours(pid: int) -> bool:
    """Whether it is one that ``in_child`` began: those run the program of their parent."""
    mine, other = (Path(f"/proc/{each}/cmdline").read_bytes() for each in (os.getpid(), pid))
    return mine == other


def test_a_large_answer_arrives_whole() -> None:
    with in_child(lambda: bytes(3_000_000)) as answer:
        assert answer.result() == bytes(3_000_000)


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "child"

    def work() -> None:
        mark.write_text(str(os.getpid()))
        time.sleep(600)

    parent = os.fork()
    if parent == 0:
        with in_child(work):
            time.sleep(600)
    try:
        wait_until(mark.exists)
        child = int(wait_until(mark.read_text))
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
    wait_until(lambda: not Path(f"/proc/{child}").exists() or is_zombie(child))


def is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


def wait_until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found
