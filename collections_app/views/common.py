"""Helpers that all views of a collection use."""

from collections.abc import Callable
from functools import wraps
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from collections_app.models import Collection


def get_collection(request: HttpRequest, uuid: UUID) -> Collection:
    """The user's own collection with this UUID.

    Raises:
        Http404: it does not exist, or belongs to another user.
    """
    return get_object_or_404(Collection.objects.visible_to(request.user), uuid=uuid)


def sign_in_to_act(
    view: Callable[[HttpRequest, UUID], HttpResponse],
) -> Callable[[HttpRequest, UUID], HttpResponse]:
    """Require sign-in for a view that accepts POST only, and return to the collection's page.

    ``login_required`` would return to the view's own URL with a GET.
    """

    @wraps(view)
    def check(request: HttpRequest, uuid: UUID) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, uuid)
        return redirect_to_login(reverse("collection-detail", args=[uuid]))

    return check
