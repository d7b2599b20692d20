"""What every page of a collection needs first."""

from collections.abc import Callable
from functools import wraps
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from collections_app.models import Collection


def get_collection(request: HttpRequest, uuid: UUID) -> Collection:
    """The collection, if it is this user's.

    Raises:
        Http404: it is not there, or not theirs.
    """
    return get_object_or_404(Collection.objects.visible_to(request.user), uuid=uuid)


def sign_in_to_act(
    view: Callable[[HttpRequest, UUID], HttpResponse],
) -> Callable[[HttpRequest, UUID], HttpResponse]:
    """For an action that is only a POST: who is not signed in comes back to the collection's page.

    ``login_required`` would lead back to the action's own address, which a browser then asks for
    with a GET.
    """

    @wraps(view)
    def check(request: HttpRequest, uuid: UUID) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, uuid)
        return redirect_to_login(reverse("collection-detail", args=[uuid]))

    return check
