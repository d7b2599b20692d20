"""Health checks: /healthz/ for the process alone, /readyz/ for everything it depends on."""

import logging
import threading
import time
from collections.abc import Callable

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from collections_app.storage import find_storage_trouble
from medagg.observing.worker_heartbeat import find_unserved_queues

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2
# So long an answer of /readyz/ holds, and then until the next look is over: anybody may ask.
KEPT_SECONDS = 2.0
KEPT_SECONDS_OF_TROUBLE = 0.2
# A bucket is asked less often: each request costs money, and may wait longer.
BUCKET_SECONDS, BUCKET_SECONDS_OF_TROUBLE = 30.0, 10.0
# A whole answer takes that long at most; the client's own limit is for each read of it.
BUCKET_PATIENCE_SECONDS = 6.0
ARCHIVES = "archives"
NO_ANSWER_IN_TIME = "the object storage does not answer in time"


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when all parts are ok, else 503 with the names of those that are not."""
    parts = recent_look.look()
    broken = [name for name, state in parts.items() if state != "ok"]
    body = {"status": "unavailable" if broken else "ok", "broken": broken, "parts": parts}
    return JsonResponse(body, status=503 if broken else 200)


class RecentLook:
    """What the last look at the parts has found; one thread of a process looks at a time."""

    def __init__(
        self, check: Callable[[], dict[str, str]], kept_seconds: float, kept_of_trouble: float
    ) -> None:
        self._check, self._kept_seconds = check, kept_seconds
        self._kept_of_trouble = kept_of_trouble
        self._lock = threading.Lock()
        self._parts: dict[str, str] = {}
        self._until = 0.0

    def look(self) -> dict[str, str]:
        """Those who come while another one looks get what was found before.

        Only the first look is waited for: each who waits takes a thread from pages.
        """
        if self._lock.acquire(blocking=not self._parts):
            try:
                if time.monotonic() > self._until:
                    self._parts = self._check()
                    kept = self._kept_seconds if self._is_whole() else self._kept_of_trouble
                    self._until = time.monotonic() + kept
            finally:
                self._lock.release()
        return self._parts

    def _is_whole(self) -> bool:
        return bool(self._parts) and all(state == "ok" for state in self._parts.values())

    def forget(self) -> None:
        self._until = 0.0


def _check_parts() -> dict[str, str]:
    parts = {"database": _check_database(), **_check_broker()}
    if settings.ARCHIVE_STORAGE:
        parts |= recent_look_at_archives.look()
    if parts["database"] == "ok":
        parts["migrations"] = _check_migrations()
    return parts


def _check_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "does not answer"
    return "ok"


def _check_migrations() -> str:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(missing)} not applied: run manage.py migrate" if missing else "ok"


def _check_broker() -> dict[str, str]:
    try:
        client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS)
        client.ping()
        unserved = find_unserved_queues(client)
        worker = f"no worker serves: {', '.join(unserved)}" if unserved else "ok"
    except (redis.RedisError, OSError):
        return {"broker": "does not answer"}
    return {"broker": "ok", "worker": worker}


class BoundedCheck:
    """A check that may never end: done in a thread, and only once at a time."""

    def __init__(self, check: Callable[[], str], seconds: float) -> None:
        self._check, self._seconds = check, seconds
        self._thread: threading.Thread | None = None
        self._answer: str | None = None

    def answer(self) -> str | None:
        """None if there is none in time."""
        if self._thread is None or not self._thread.is_alive():
            # A daemon, as nobody waits for it at the end of the process either.
            self._thread = threading.Thread(target=self._keep_answer, daemon=True)
            self._thread.start()
        self._thread.join(self._seconds)
        return None if self._thread.is_alive() else self._answer

    def _keep_answer(self) -> None:
        self._answer = None  # also if it fails; the thread says why
        self._answer = self._check()


def _check_archives() -> dict[str, str]:
    answer = _check_of_bucket.answer()
    trouble = NO_ANSWER_IN_TIME if answer is None else answer
    if trouble:
        logger.error("archives cannot be kept or downloaded: %s", trouble)
    return {ARCHIVES: trouble or "ok"}


_check_of_bucket = BoundedCheck(find_storage_trouble, BUCKET_PATIENCE_SECONDS)
recent_look = RecentLook(_check_parts, KEPT_SECONDS, KEPT_SECONDS_OF_TROUBLE)
recent_look_at_archives = RecentLook(_check_archives, BUCKET_SECONDS, BUCKET_SECONDS_OF_TROUBLE)
