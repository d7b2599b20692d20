"""What all of medagg's mails have in common: one address, a fixed subject, a text, a timeout."""

import smtplib
import socket
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.template.loader import render_to_string

from catalog.storage.turns import CircuitBreaker

_PERMANENT = 500


def make_mail(
    subject: str, template: str, context: Mapping[str, Any], *, address: str
) -> EmailMessage:
    """``subject`` has nothing that a user wrote: it must not say what somebody else wants."""
    return EmailMessage(
        subject=subject,
        body=render_to_string(template, dict(context)),
        to=[address],
        # RFC 3834: out-of-office programs must not reply.
        headers={"Auto-Submitted": "auto-generated"},
        connection=get_connection(timeout=settings.EMAIL_TIMEOUT),
    )


# A server that is silent takes EMAIL_TIMEOUT of a worker, which sweeps and mails share, and then
# nothing of it for a minute.
mail_turns = CircuitBreaker(
    no_answer=(TimeoutError, ConnectionError, socket.gaierror, smtplib.SMTPServerDisconnected),
    refuse=lambda: OSError("the mail server did not answer just now"),
    pause_seconds=60,
)


def send_mail(mail: EmailMessage) -> None:
    """Raises what smtplib does, and OSError at once soon after the server did not answer."""
    with mail_turns.take():
        mail.send()


def may_work_later(error: smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) -> bool:
    """By its code: 4xx may work later; 5xx never will (RFC 5321)."""
    return all(code < _PERMANENT for code in codes_of(error))


def codes_of(error: smtplib.SMTPRecipientsRefused | smtplib.SMTPResponseException) -> list[int]:
    """What a log may have of it: the server's words have the address."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return [code for code, _ in error.recipients.values()]
    return [error.smtp_code]
