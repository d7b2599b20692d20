"""What follows a sign-out, by whatever page."""

from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.contrib.messages import get_messages
from django.dispatch import receiver
from django.http import HttpRequest


@receiver(user_logged_out)
def forget_messages(request: HttpRequest, **kwargs: Any) -> None:
    """Whoever uses the browser next is not told what was meant for who signs out."""
    list(get_messages(request))  # what was read is not kept
