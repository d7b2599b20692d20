"""What another connection holds while a test goes on."""

import threading
from typing import Any

from django.db import connection, transaction


class Held:
    """A transaction on another connection that has run a function, and stays open so long."""

    def __init__(self, work: Any) -> None:
        self._work, self._is_held, self._may_end = work, threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._is_held.wait(10)

    def __exit__(self, *_: object) -> None:
        self._may_end.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with transaction.atomic():
                self._work()
                self._is_held.set()
                self._may_end.wait(20)
        finally:
            connection.close()
