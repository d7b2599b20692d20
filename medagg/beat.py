"""Celery's beat, by a clock that may be set back, and of a site that may be started often."""

from datetime import timedelta
from typing import Any

from celery import beat


class Scheduler(beat.Scheduler):
    """Sends what is due, also if the clock was ahead when it was sent last.

    Celery's own waits until that time comes again, and keeps it in a file, over a restart too:
    until then no sweep would come. Here each entry is due at the start, and then after its time:
    what is sent every hour comes also where nothing runs for an hour.
    """

    def setup_schedule(self) -> None:
        super().setup_schedule()
        for entry in self.schedule.values():
            entry.last_run_at = entry.default_now() - timedelta(days=1)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        for entry in self.schedule.values():
            now = entry.default_now()
            if entry.last_run_at and entry.last_run_at > now:
                entry.last_run_at = now
                self._heap = None  # it has the times when they were to come
        seconds: float = super().tick(*args, **kwargs)
        return seconds
