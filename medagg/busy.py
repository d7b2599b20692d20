"""What cannot be done just now is answered by 503, and when to come again."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from psycopg2.errors import LockNotAvailable

from catalog.storage.transfers import Transfer, hold_transfer
from catalog.storage.web_threads import FOR_PAGES, RETRY_SECONDS, FewAtATime, NoThreadLeft

# For a row that another request, an import or a build has locked.
LOCK_SECONDS = 5
# Whatever one user asks for takes a quarter of the threads. Forms wait for locks, as while a large
# collection is deleted: those of all users take half of the threads, those of one an eighth.
_requests = FewAtATime(settings.WEB_THREADS, waiting=0, of_one=max(1, FOR_PAGES))
_forms = FewAtATime(2 * FOR_PAGES, waiting=0, of_one=max(1, FOR_PAGES // 2))
# The kernel takes so many bytes of an answer at once, also where it limits send buffers to the
# usual 212,992 and a client's packets are tiny: a shorter one holds no thread if it is not read.
MAX_AT_ONCE = 150_000
# What is asked while the database is away, too; the sixty pictures of a page, which a browser may
# ask for at once, and which have a limit of their own; and whoever wants to go may go.
_IS_FREE = re.compile(r"/(?:healthz|readyz|images/[0-9]+/preview|accounts/logout)/")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
BUSY = "The site cannot send so long an answer at the moment. Please try again in half a minute."


def limit_waits(connection: Any, **kwargs: Any) -> None:
    """Have no request of the web wait longer for a lock; a receiver of ``connection_created``."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_SECONDS}s"])


class BusyMiddleware:
    """Answers requests that got no thread for long work, or no lock in time.

    An answer that is too long to be sent at once, also a static file, is one of the files that are
    sent at a time.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.method == "HEAD" or _measure(response) <= MAX_AT_ONCE:
            return response
        try:
            return _send_as_file(response)
        except NoThreadLeft:
            return _say_busy(request, response.get("Content-Type", ""))

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        is_locked = isinstance(exception, OperationalError) and isinstance(
            exception.__cause__, LockNotAvailable
        )
        if not is_locked and not isinstance(exception, NoThreadLeft):
            return None
        return _say_busy(request, _type_of(request), is_locked=is_locked)


class UsersMiddleware:
    """Has what a signed-in user asks for leave threads to others, and forms leave some to pages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_free = _IS_FREE.fullmatch(request.path_info)
        if is_free or not request.user.is_authenticated:
            return self.get_response(request)
        user, is_form = str(request.user.pk), request.method not in SAFE_METHODS
        try:
            with _requests.turn(user), _forms.turn(user) if is_form else contextlib.nullcontext():
                return self.get_response(request)
        except NoThreadLeft:
            return _say_busy(request, _type_of(request))


def _type_of(request: HttpRequest) -> str:
    """What the answer would have been."""
    return "application/json" if request.path_info.endswith(".json") else "text/html"


def _measure(response: HttpResponseBase) -> int:
    """Bytes of an answer that does not count as a file that is sent."""
    if isinstance(response, HttpResponse):
        return len(response.content)
    is_counted = isinstance(getattr(response, "file_to_stream", None), Transfer)
    return 0 if is_counted else int(response.get("Content-Length", "0"))


def _send_as_file(response: Any) -> FileResponse:
    """Raises TooManyTransfers."""
    chunks = response.streaming_content if response.streaming else [response.content]
    file = response.file_to_stream if response.streaming else None
    with contextlib.closing(file) if file else contextlib.nullcontext():
        transfer = hold_transfer(chunks)
    headers = {**response.headers, "Content-Length": str(transfer.length)}
    content_type = headers.pop("Content-Type", "application/octet-stream")
    sent = FileResponse(
        transfer, status=response.status_code, content_type=content_type, headers=headers
    )
    sent.cookies = response.cookies
    return sent


def _say_busy(
    request: HttpRequest, content_type: str = "text/html", *, is_locked: bool = False
) -> HttpResponse:
    """In a page, or, if the answer was to be another kind of text or a picture, a sentence."""
    if content_type.startswith("text/html"):
        response = render(request, "503.html", {"is_locked": is_locked})
    elif content_type.startswith("application/json"):
        response = JsonResponse({"problems": [BUSY]})
    else:
        response = HttpResponse(BUSY, content_type="text/plain; charset=utf-8")
    response.status_code = 503
    response["Retry-After"] = str(RETRY_SECONDS)
    response["Cache-Control"] = "no-store"
    return response
