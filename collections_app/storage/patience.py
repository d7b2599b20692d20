"""How long the object storage is waited for: not long where others wait for whoever asks it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from catalog.storage.web_threads import serves_pages

PAGE_SECONDS = 2.0
# Of a sweep, which mails wait for, of a look, and of a build before its first heartbeat and after
# its last.
BRIEF_SECONDS = 10.0
_limit: ContextVar[float | None] = ContextVar("seconds for the object storage", default=None)


@contextmanager
def asking_briefly() -> Iterator[None]:
    """In here it is asked once, and not soon again where it does not answer."""
    token = _limit.set(BRIEF_SECONDS)
    try:
        yield
    finally:
        _limit.reset(token)


def find_patience() -> float | None:
    """Seconds for one request that is not tried again; None where there is time."""
    return PAGE_SECONDS if serves_pages.is_set() else _limit.get()
