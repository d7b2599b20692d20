"""Celery's beat where the clock is set back."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from medagg.beat import Scheduler
from medagg.celery import app


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what beat sends."""
    names: list[str] = []
    monkeypatch.setattr(
        Scheduler, "apply_async", lambda self, entry, **_: names.append(entry.name), raising=True
    )
    return names


def test_all_is_sent_at_the_start_as_a_site_may_run_for_less_than_an_hour(sent: list[str]) -> None:
    scheduler: Any = Scheduler(app=app)
    while scheduler.tick() == 0:
        pass
    assert sorted(sent) == sorted(scheduler.schedule)


def test_what_was_sent_while_the_clock_was_ahead_is_sent_again_soon(sent: list[str]) -> None:
    scheduler: Any = Scheduler(app=app)
    ahead = timezone.now() + timedelta(days=1)
    for entry in scheduler.schedule.values():
        entry.last_run_at = ahead

    while (seconds := scheduler.tick()) == 0:
        pass
    assert 0 < seconds <= 30, "the sweep is the next"
    assert not sent
    for entry in scheduler.schedule.values():
        entry.last_run_at -= timedelta(hours=2)
    scheduler._heap = None
    while scheduler.tick() == 0:
        pass
    assert set(sent) == set(scheduler.schedule)
