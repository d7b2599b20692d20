"""What every request goes through first: its id, its figures, whether it can be read."""

import re
import sys
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, UnreadablePostError

from medagg.client_address import client_or_unknown
from medagg.observing import metrics
from medagg.observing.logs import request_id

HEADER = "X-Request-ID"
UTF_8 = ("utf-8", "utf8")
# A form may be given back, at six times its length if it is of quotes, and takes a millisecond for
# each 4 kB if it is of signs that have to be escaped and are not. The longest that a page makes has
# the filters of an address, 8 kB, escaped once more.
MAX_FORM = 16_000
# No page sends these. Each line about a part makes Python a message of e-mail: 1.5 ms for a kB.
PARTS, MAX_FORM_IN_PARTS = "multipart/form-data", 2_000
# To read the longest that the settings allow takes 170 MB and half a second, if it is all escapes.
# Only curators send more than the others.
LONG_FORMS = "/admin/"
# What nginx makes; others are not ours.
_SOUND = re.compile(r"[0-9A-Za-z-]{8,64}")


class RequestMiddleware:
    """Gives the request an id, which its log lines, its response and its tasks have.

    And the address of its client, as it counts for what few clients may do at a time.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        begin = time.perf_counter()
        request.request_id = _find_id(request)  # type: ignore[attr-defined]
        request.client = client_or_unknown(request)  # type: ignore[attr-defined]
        token = request_id.set(request.request_id)  # type: ignore[attr-defined]
        try:
            # Before all checks of hosts and https: a scraper calls the process by its address.
            response = metrics.respond(request) or self.get_response(request)
        finally:
            request_id.reset(token)
        response[HEADER] = request.request_id  # type: ignore[attr-defined]
        metrics.count_request(request, response, seconds=time.perf_counter() - begin)
        return response


class ReadableMiddleware:
    """Refuses a request whose form or address cannot be read, before anything looks at it.

    Later it would be an error of ours: Django reads the form again for its error pages.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Raises BadRequest, and whatever else Django answers with 400."""
        if _measure_body(request) > (most := _most_of_form(request)):
            raise BadRequest(f"This form has at most {most:,} bytes")
        if (request.encoding or "utf-8").lower() not in UTF_8:
            raise BadRequest("Addresses and forms are in UTF-8")
        try:
            _ = request.POST
        except UnreadablePostError:
            # The client sees no answer.
            return HttpResponse("The request broke off.\n", status=400, content_type="text/plain")
        return self.get_response(request)


def _most_of_form(request: HttpRequest) -> int:
    most = MAX_FORM_IN_PARTS if request.content_type == PARTS else MAX_FORM
    may_be_long = request.path_info.startswith(LONG_FORMS)
    if may_be_long and _measure_body(request) > most and request.user.is_staff:
        return sys.maxsize  # Django has a limit of its own.
    return most


def _measure_body(request: HttpRequest) -> int:
    length = request.META.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isdecimal() else 0


def _find_id(request: HttpRequest) -> str:
    """nginx' id where nginx stands in front, so that its log has the same; else a new one."""
    given = request.headers.get(HEADER, "") if settings.X_ACCEL_PREFIX else ""
    return given if _SOUND.fullmatch(given) else uuid.uuid4().hex
