"""Error pages with the site's templates."""

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseServerError
from django.shortcuts import render
from django.template import TemplateDoesNotExist, loader
from django.views.defaults import server_error as plain_server_error


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """For an expired form, or one from another site: explains how to send it again."""
    return render(request, "403_csrf.html", {"reason": reason}, status=403)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's own would read the form again, and fail where that is what is bad."""
    return HttpResponseBadRequest(loader.get_template("400.html").render())


def server_error(request: HttpRequest) -> HttpResponse:
    """Names the request, whose lines in the log say what happened.

    Without context processors, which may be what is broken.
    """
    try:
        template = loader.get_template("500.html")
    except TemplateDoesNotExist:
        return plain_server_error(request)
    context = {"request_id": getattr(request, "request_id", "")}
    return HttpResponseServerError(template.render(context))
