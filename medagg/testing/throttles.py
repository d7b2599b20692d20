"""Each test begins with throttles that have counted nothing; they would add up over the tests."""

import contextlib
import os

import pytest
import redis


@pytest.fixture(autouse=True)
def fresh_throttles() -> None:
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    # Tests of the servers themselves may have none.
    with contextlib.suppress(redis.RedisError), client:
        for key in client.scan_iter("medagg:rate:*", count=10_000):
            client.delete(key)
