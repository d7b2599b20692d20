"""Sessions that are over do not stay in the database."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from medagg.celery import app
from medagg.tasks import clear_sessions_task

pytestmark = pytest.mark.django_db


def test_the_clock_removes_sessions_that_are_over() -> None:
    now = timezone.now()
    for key, hours in (("over", -1), ("alive", 1)):
        end = now + timedelta(hours=hours)
        Session.objects.create(session_key=key, session_data="", expire_date=end)
    app.loader.import_default_modules()
    app.tasks[app.conf.beat_schedule["clear-sessions"]["task"]].apply()
    assert list(Session.objects.values_list("session_key", flat=True)) == ["alive"]
    assert clear_sessions_task.name in app.tasks
