"""The worker leaves a sign of life in Redis, so that the web server can say when it is gone."""

import contextlib
from typing import Any

import redis
from celery.signals import heartbeat_sent, worker_ready, worker_shutdown
from django.conf import settings

KEY = "medagg:worker-alive"
# Celery sends a heartbeat every two seconds; a few may be late.
ALIVE_SECONDS = 15


def worker_is_alive(client: redis.Redis) -> bool:
    return bool(client.exists(KEY))


@worker_ready.connect
@heartbeat_sent.connect
def leave_sign_of_life(**kwargs: Any) -> None:
    # A broker that is down is told by its own check; the next heartbeat tries again.
    with contextlib.suppress(redis.RedisError):
        redis.Redis.from_url(settings.REDIS_URL).set(KEY, 1, ex=ALIVE_SECONDS)


@worker_shutdown.connect
def take_sign_back(**kwargs: Any) -> None:
    """A worker that ends says so; another one's next heartbeat sets the sign again."""
    with contextlib.suppress(redis.RedisError):
        redis.Redis.from_url(settings.REDIS_URL).delete(KEY)
