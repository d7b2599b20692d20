"""What cannot be done just now is answered by 503, and when to come again."""

from collections.abc import Callable
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from psycopg2.errors import LockNotAvailable

from catalog.storage.web_threads import RETRY_SECONDS, NoThreadLeft

# For a row that another request, an import or a build has locked.
LOCK_SECONDS = 5


def limit_waits(connection: Any, **kwargs: Any) -> None:
    """Have no request of the web wait longer for a lock; a receiver of ``connection_created``."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_SECONDS}s"])


class BusyMiddleware:
    """Answers requests that got no thread for long work, or no lock in time."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        is_locked = isinstance(exception, OperationalError) and isinstance(
            exception.__cause__, LockNotAvailable
        )
        if not is_locked and not isinstance(exception, NoThreadLeft):
            return None
        response = render(request, "503.html", {"is_locked": is_locked}, status=503)
        response["Retry-After"] = str(RETRY_SECONDS)
        response["Cache-Control"] = "no-store"
        return response
