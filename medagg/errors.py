"""Error pages with the site's templates."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """For an expired form, or one from another site: explains how to send it again."""
    return render(request, "403_csrf.html", {"reason": reason}, status=403)
