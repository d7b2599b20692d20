"""Celery's beat, by a clock that may be set back."""

from typing import Any

from celery import beat


class Scheduler(beat.Scheduler):
    """Sends what is due, also if the clock was ahead when it was sent last.

    Celery's own waits until the clock is there again, and keeps that in a file: no sweep would come
    for as long. All that is due here comes within an hour of a start.
    """

    def tick(self, *args: Any, **kwargs: Any) -> float:
        for entry in self.schedule.values():
            now = entry.default_now()
            if entry.last_run_at and entry.last_run_at > now:
                entry.last_run_at = now
                self._heap = None  # it has the times when they were to come
        seconds: float = super().tick(*args, **kwargs)
        return seconds
