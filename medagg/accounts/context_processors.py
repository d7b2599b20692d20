from typing import Any

from django.conf import settings
from django.http import HttpRequest


def registration(request: HttpRequest) -> dict[str, Any]:
    """``registration_open``: whether pages offer to sign up."""
    return {"registration_open": settings.REGISTRATION_OPEN}
