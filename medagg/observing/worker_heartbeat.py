"""Workers leave a heartbeat in Redis for each queue that they serve, so that /readyz/ can tell."""

import contextlib
from typing import Any

import redis
from celery import current_app
from celery.signals import heartbeat_sent, worker_ready
from django.conf import settings

# What a deployment needs a worker for.
QUEUES = ("default", "builds", "verify")
# Celery sends a heartbeat every two seconds; a few may be late.
ALIVE_SECONDS = 15


def heartbeat_key(queue: str) -> str:
    return f"medagg:worker-alive:{queue}"


def find_unserved_queues(client: redis.Redis) -> list[str]:
    """The queues for which no worker has left a heartbeat lately."""
    return [queue for queue in QUEUES if not client.exists(heartbeat_key(queue))]


def _my_keys() -> list[str]:
    return [heartbeat_key(queue) for queue in current_app.amqp.queues.consume_from]


@worker_ready.connect
@heartbeat_sent.connect
def leave_heartbeat(**kwargs: Any) -> None:
    # A broker that is down is reported by its own check; the next heartbeat tries again.
    with contextlib.suppress(redis.RedisError):
        client = redis.Redis.from_url(settings.REDIS_URL)
        for key in _my_keys():
            client.set(key, 1, ex=ALIVE_SECONDS)
