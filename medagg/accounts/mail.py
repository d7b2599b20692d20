"""The mails about accounts; tasks send them, so that no request waits for a mail server.

Links begin with SITE_URL. Only the link that confirms an address goes to one that nobody has
confirmed.
"""

import logging
import smtplib
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from collections_app.notices.message import codes_of, make_mail, may_work_later, send_mail
from medagg.accounts.links import VALID_DAYS, confirmation_path, owner_of, reset_tokens
from medagg.models import WaitingAddress

logger = logging.getLogger(__name__)


def send_password_reset(*, address: str) -> None:
    """A link to set a new password, if an account has confirmed this address."""
    user = owner_of(address)
    # An operator has taken the password away where somebody signs in otherwise, or not at all.
    if user is None or not user.is_active or not user.has_usable_password():
        return
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    token = reset_tokens.make_token(user)
    path = reverse("password_reset_confirm", args=[uid, token])
    _send("reset", "Set a new password for medagg", user.email, user=user, path=path)


def send_confirmation(*, user_id: int) -> None:
    """A link to confirm the address that a user entered; its owner is told if it has one."""
    waiting = WaitingAddress.objects.filter(pk=user_id).select_related("user").first()
    if waiting is None:
        return
    owner = owner_of(waiting.address)
    if owner and owner.pk != user_id:
        path = reverse("password_reset")
        _send("taken", "Your address at medagg", owner.email, user=owner, path=path)
        return
    _send(
        "confirm",
        "Confirm your address at medagg",
        waiting.address,
        user=waiting.user,
        path=confirmation_path(waiting),
        days=VALID_DAYS,
    )


def send_address_changed(*, address: str, user_id: int) -> None:
    """Tells the former address that the account has another one now."""
    user = User.objects.filter(pk=user_id).first()
    if user:
        _send("changed", "Your address at medagg was changed", address, user=user)


def send_approval_needed() -> None:
    """Tells the administrators that accounts wait for their approval."""
    path = f"{reverse('admin:auth_user_changelist')}?is_active__exact=0"
    for user in User.objects.filter(is_superuser=True, is_active=True).exclude(email=""):
        _send("approve", "An account at medagg waits for approval", user.email, path=path)


def send_approved(*, user_id: int) -> None:
    user = User.objects.filter(pk=user_id, is_active=True).exclude(email="").first()
    if user:
        path = reverse("login")
        _send("approved", "Your account at medagg is approved", user.email, user=user, path=path)


def remove_old_mails() -> None:
    """Without a mail server mails are files with addresses: those whose links are over go."""
    if settings.EMAIL_IS_CONFIGURED:
        return
    with suppress(FileNotFoundError):
        for path in Path(settings.EMAIL_FILE_PATH).iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > VALID_DAYS * 86_400:
                    path.unlink()


def _send(name: str, subject: str, address: str, *, path: str = "", **context: Any) -> None:
    """Raises OSError if the mail server does not take it for now."""
    context |= {"url": f"{settings.SITE_URL}{path}", "site": settings.SITE_URL}
    mail = make_mail(subject, f"registration/mail/{name}.txt", context, address=address)
    try:
        send_mail(mail)
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as error:
        if may_work_later(error):
            raise OSError(f"the mail is refused for now: {codes_of(error)}") from None
        logger.warning("the mail %r was not sent, as it is refused: %s", name, codes_of(error))
    except smtplib.SMTPResponseException as error:
        raise OSError(f"the mail server refuses: {codes_of(error)}") from None
    except ValueError as error:
        logger.error("the mail %r cannot be written: %s", name, error)
