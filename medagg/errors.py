"""Error pages in the site's dress."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that was too old or came from elsewhere: say how to send it again."""
    return render(request, "403_csrf.html", {"reason": reason}, status=403)
