"""Each test begins in a process that has counted nothing, serves no pages and may ask servers."""

import contextlib
import os
import sys
from functools import cache
from importlib import import_module

import pytest
import redis

from catalog.storage.broker import broker_turns


@pytest.fixture(autouse=True)
def fresh_process() -> None:
    broker_turns.forget()
    # Not at the top, as settings are not there yet; botocore takes long.
    import_module("collections_app.notices.message").mail_turns.forget()
    if storage := sys.modules.get("collections_app.storage.client"):
        storage.turns.forget()
    # A test that has loaded medagg.wsgi has made this a process for pages.
    import_module("catalog.storage.web_threads").serves_pages.clear()
    client = _client(os.environ["REDIS_URL"])
    # Tests of the servers themselves may have none.
    with contextlib.suppress(redis.RedisError):
        for key in client.scan_iter("medagg:rate:*", count=10_000):
            client.delete(key)


@cache
def _client(url: str) -> redis.Redis:
    """One for all tests: to connect takes longer than to ask."""
    return redis.Redis.from_url(url)
