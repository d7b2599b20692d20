"""PostgreSQL and Redis from Python wheels, used if no servers are configured. Django-free.

``EmbeddedServers`` starts both (``servers``). Each is a ``Server`` (``base_server``), whose
``launch`` starts a keeper: a process that starts the server through ``launch.py`` and stops it when
nobody uses it any more.
"""

from medagg.runner.embedded.errors import EmbeddedError
from medagg.runner.embedded.places import celery_broker_url, database_url, redis_url
from medagg.runner.embedded.secret import (
    find_weakness,
    keep_secret,
    make_secret,
    read_or_make_secret,
    read_secret,
)
from medagg.runner.embedded.servers import EmbeddedServers

__all__ = [
    "EmbeddedError",
    "EmbeddedServers",
    "celery_broker_url",
    "database_url",
    "find_weakness",
    "keep_secret",
    "make_secret",
    "read_or_make_secret",
    "read_secret",
    "redis_url",
]
