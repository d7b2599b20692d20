"""Thin tasks for what no app does: mails about accounts, and old sessions.

A message may arrive twice; then so does the mail.
"""

from typing import Any

from axes.models import AccessAttempt
from celery import Task, shared_task
from django.core.management import call_command
from django.utils import timezone

from catalog.storage.broker import NOT_QUEUED, broker_turns
from medagg.accounts import mail


class MailTask(Task):
    """Tries for about half an hour; whoever still waits then can ask for the mail again."""

    autoretry_for = (OSError,)
    retry_backoff = 30
    retry_backoff_max = 900
    max_retries = 5
    soft_time_limit = 60
    time_limit = 90


@shared_task(base=MailTask)
def send_password_reset_task(address: str) -> None:
    mail.send_password_reset(address=address)


@shared_task(base=MailTask)
def send_confirmation_task(user_id: int) -> None:
    mail.send_confirmation(user_id=user_id)


@shared_task(base=MailTask)
def send_address_changed_task(address: str, user_id: int) -> None:
    mail.send_address_changed(address=address, user_id=user_id)


@shared_task(base=MailTask)
def send_approval_needed_task() -> None:
    mail.send_approval_needed()


@shared_task(base=MailTask)
def send_approved_task(user_id: int) -> None:
    mail.send_approved(user_id=user_id)


@shared_task(soft_time_limit=300, time_limit=330)
def clear_sessions_task() -> None:
    """Remove the sessions that are over, and mails in files, which Django itself never does.

    And failed sign-ins of a clock that was ahead: they would lock until that time has come.
    """
    call_command("clearsessions")
    AccessAttempt.objects.filter(attempt_time__gt=timezone.now()).delete()
    mail.remove_old_mails()


def enqueue(task: Task, *args: Any) -> bool:
    """Whether the broker took the message."""
    try:
        with broker_turns.take():
            task.delay(*args)
    except NOT_QUEUED:
        return False
    return True
