from typing import Any

from django.conf import settings
from django.http import HttpRequest


def registration(request: HttpRequest) -> dict[str, Any]:
    """Whether pages offer to sign up, and whether mails arrive or stay in a folder."""
    return {
        "registration_open": settings.REGISTRATION_OPEN,
        "mail_is_sent": settings.EMAIL_IS_CONFIGURED,
    }
