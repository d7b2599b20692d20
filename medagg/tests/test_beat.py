"""Celery's beat where the clock is set back."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from medagg.beat import Scheduler
from medagg.celery import app


def test_what_was_sent_while_the_clock_was_ahead_is_sent_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(
        Scheduler, "apply_async", lambda self, entry, **_: sent.append(entry.name), raising=True
    )
    scheduler: Any = Scheduler(app=app)
    ahead = timezone.now() + timedelta(days=1)
    for entry in scheduler.schedule.values():
        entry.last_run_at = ahead

    while (seconds := scheduler.tick()) == 0:
        pass
    assert 0 < seconds <= 30, "the sweep is the next"
    for entry in scheduler.schedule.values():
        entry.last_run_at -= timedelta(hours=2)
    scheduler._heap = None
    while scheduler.tick() == 0:
        pass
    assert set(sent) == set(scheduler.schedule)
