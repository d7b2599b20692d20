"""Sessions that are over do not stay in the database."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from medagg.celery import app
from medagg.models import Session
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


def test_a_cookie_that_can_be_no_session_is_none() -> None:
    cookie = f'{settings.SESSION_COOKIE_NAME}="\\000abcdefgh"'
    assert Client().get("/collections/", headers={"Cookie": cookie}).status_code == 302
