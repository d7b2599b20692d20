"""A server that is slow, or does not answer, holds few threads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from catalog.storage.turns import CircuitBreaker


class Refused(Exception):
    pass


def test_of_a_slow_server_few_threads_wait_and_the_others_are_refused_at_once() -> None:
    turns = CircuitBreaker(no_answer=(), refuse=Refused, number=2, waiting=4, wait_seconds=5)
    may_answer, begin = threading.Event(), time.monotonic()

    def ask(_: int) -> float:
        try:
            with turns.take():
                may_answer.wait(10)
        except Refused:
            return time.monotonic() - begin
        return 0

    with ThreadPoolExecutor(10) as threads:
        answers = [threads.submit(ask, number) for number in range(10)]
        while sum(each.done() for each in answers) < 4:
            assert time.monotonic() - begin < 4, "four are refused while six ask or wait"
            time.sleep(0.01)
        may_answer.set()
    assert sum(each.result() > 0 for each in answers) == 4
