"""Health checks: /healthz/ for the process alone, /readyz/ for everything it depends on."""

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from medagg.worker_heartbeat import find_unserved_queues

TIMEOUT_SECONDS = 2


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when all parts are ok, else 503 with the names of those that are not."""
    parts = {"database": _check_database(), **_check_broker()}
    if parts["database"] == "ok":
        parts["migrations"] = _check_migrations()
    broken = [name for name, state in parts.items() if state != "ok"]
    body = {"status": "unavailable" if broken else "ok", "broken": broken, "parts": parts}
    return JsonResponse(body, status=503 if broken else 200)


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
