"""Error pages with the site's templates."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import render
from django.template import TemplateDoesNotExist, loader
from django.views.defaults import server_error as plain_server_error

# Classes of PostgreSQL's error codes: no connection; it lacks resources, as on a full disk; it was
# stopped; its disk fails.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_IS_AWAY = ("08", "53", "57P", "58")
_RETRY_SECONDS = 30


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """For an expired form, or one from another site: explains how to send it again."""
    return render(request, "403_csrf.html", {"reason": reason}, status=403)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's own would read the form again, and fail where that is what is bad."""
    return HttpResponseBadRequest(loader.get_template("400.html").render())


def server_error(request: HttpRequest) -> HttpResponse:
    """Names the request, whose lines in the log say what happened; 503 while there is no database.

    Without context processors, which may be what is broken.
    """
    is_away = _is_database_away(sys.exc_info()[1])
    try:
        template = loader.get_template("500.html")
    except TemplateDoesNotExist:
        return plain_server_error(request)
    context = {"request_id": getattr(request, "request_id", ""), "is_away": is_away}
    response = HttpResponse(template.render(context), status=503 if is_away else 500)
    if is_away:
        response["Retry-After"] = str(_RETRY_SECONDS)
    return response


def _is_database_away(error: BaseException | None) -> bool:
    """Whether it was not to be reached, or had no room; not whether a query was bad or too slow."""
    if isinstance(error, InterfaceError):
        return "connection already closed" in str(error)
    if not isinstance(error, OperationalError):
        return False
    code = getattr(error.__cause__, "pgcode", None)
    return code is None or code.startswith(_IS_AWAY)
