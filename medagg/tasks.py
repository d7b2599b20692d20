"""Thin tasks for what no app does."""

from celery import shared_task
from django.core.management import call_command


@shared_task(soft_time_limit=300, time_limit=330)
def clear_sessions_task() -> None:
    """Remove the sessions that are over, which Django itself never does."""
    call_command("clearsessions")
