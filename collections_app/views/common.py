"""What every page of a collection needs first."""

from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from collections_app.models import Collection


def get_collection(request: HttpRequest, uuid: UUID) -> Collection:
    """The collection, if it is this user's.

    Raises:
        Http404: it is not there, or not theirs.
    """
    return get_object_or_404(Collection.objects.visible_to(request.user), uuid=uuid)
