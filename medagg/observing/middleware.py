"""What every request goes through first: its id, its figures for /metrics, broken connections."""

import re
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, UnreadablePostError

from medagg.observing import metrics
from medagg.observing.logs import request_id

HEADER = "X-Request-ID"
# What nginx makes; others are not ours.
_SOUND = re.compile(r"[0-9A-Za-z-]{8,64}")


class RequestMiddleware:
    """Gives the request an id, which its log lines, its response and its tasks have."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        begin = time.perf_counter()
        request.request_id = _find_id(request)  # type: ignore[attr-defined]
        token = request_id.set(request.request_id)  # type: ignore[attr-defined]
        try:
            # Before all checks of hosts and https: a scraper calls the process by its address.
            response = metrics.respond(request) or self.get_response(request)
        finally:
            request_id.reset(token)
        response[HEADER] = request.request_id  # type: ignore[attr-defined]
        metrics.count_request(request, response, seconds=time.perf_counter() - begin)
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A client that broke off within its form sees no answer, and is no error of ours."""
        if isinstance(error, UnreadablePostError):
            return HttpResponse("The request broke off.\n", status=400, content_type="text/plain")
        return None


def _find_id(request: HttpRequest) -> str:
    """nginx' id where nginx stands in front, so that its log has the same; else a new one."""
    given = request.headers.get(HEADER, "") if settings.X_ACCEL_PREFIX else ""
    return given if _SOUND.fullmatch(given) else uuid.uuid4().hex
