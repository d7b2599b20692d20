"""Throttles: how often one client or user may do what is costly. Redis counts.

While Redis does not answer, nothing is throttled: nobody is kept from signing in by that. Sign-in
has locks of its own in the database (django-axes).
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from redis.backoff import NoBackoff
from redis.retry import Retry

from medagg.client_address import client_or_unknown

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.5
MINUTE, HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` times in ``seconds``; ``name`` tells it from other rates."""

    name: str
    limit: int
    seconds: int

    def hit(self, key: str) -> int:
        """Count once for ``key``; the seconds to wait if that was too often, else 0."""
        digest = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:32]
        name = f"medagg:rate:{self.name}:{digest}"
        client = _client(settings.REDIS_URL)
        try:
            with client.pipeline() as pipeline:
                pipeline.set(name, 0, ex=self.seconds, nx=True)
                pipeline.incr(name)
                pipeline.ttl(name)
                _, count, left = pipeline.execute()
            if left > self.seconds:  # the clock was set back, by which Redis counts
                left = self.seconds
                client.expire(name, left)
        except (redis.RedisError, OSError) as error:
            logger.warning("%s is not throttled: Redis does not answer: %s", self.name, error)
            return 0
        return max(1, left) if count > self.limit else 0


@lru_cache(maxsize=2)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """A rate for requests to one page: which methods count, and by what."""

    rate: Callable[[], Rate]
    key: Callable[[HttpRequest], str | None]
    methods: frozenset[str] = frozenset({"POST"})


def _by_user(request: HttpRequest) -> str | None:
    return str(request.user.pk) if request.user.is_authenticated else None


def _of_visitors(request: HttpRequest) -> str | None:
    return None if request.user.is_authenticated else client_or_unknown(request)


def _fixed(name: str, limit: int, seconds: int) -> Callable[[], Rate]:
    rate = Rate(name, limit, seconds)
    return lambda: rate


def _visitors_files() -> Rate:
    return Rate("files of images", settings.VISITOR_FILES_PER_HOUR, HOUR)


def _builds() -> Rate:
    """Twice as many as new collections: what is refused, deleted or cancelled counts here too."""
    return Rate("builds", 2 * settings.COLLECTION_MAX_PER_HOUR, HOUR)


READS = frozenset({"GET", "HEAD"})
_sign_in = Rule(_fixed("sign-in", 100, 15 * MINUTE), client_or_unknown)
# Each asks for the password, or leads to mails.
_account = Rule(_fixed("account", 30, HOUR), _by_user)
_build = Rule(_builds, _by_user)
_lists = Rule(_fixed("lists of problems", 120, HOUR), _by_user, READS)
RULES = {
    "login": _sign_in,
    "admin:login": _sign_in,
    "signup": Rule(_fixed("sign-up", 60, HOUR), client_or_unknown),
    "password_reset": Rule(_fixed("password reset", 30, HOUR), client_or_unknown),
    # Each that has no cookie makes a session.
    "password_reset_confirm": Rule(
        _fixed("links of resets", 120, HOUR), client_or_unknown, READS | {"POST"}
    ),
    "password_change": _account,
    "account-address": _account,
    "account-address-again": _account,
    "account-delete": _account,
    "account-export": Rule(_fixed("export", 6, HOUR), _by_user, READS),
    "collection-problems-csv": _lists,
    "collection-excluded-csv": _lists,
    "collection-new": _build,
    "collection-retry": _build,
    "collection-rebuild": _build,
    "collection-build-without": _build,
    "image-file": Rule(_visitors_files, _of_visitors, READS),
}


def throttle_fetch(request: HttpRequest) -> int:
    """Count a preview to be fetched for a request; the seconds to wait if it is too many, else 0.

    Who has fetched too often does not use up what all may fetch together.
    """
    of_client = Rate("fetches of a client", settings.REMOTE_PREVIEWS_PER_CLIENT, MINUTE)
    of_all = Rate("fetches of all", settings.REMOTE_PREVIEWS_PER_MINUTE, MINUTE)
    client = _by_user(request) or client_or_unknown(request)
    return of_client.hit(client) or of_all.hit("")


class ThrottleMiddleware:
    """Answers requests that come too often with 429 and says when to come again."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: Any) -> HttpResponse | None:
        match = request.resolver_match
        rule = RULES.get(match.view_name) if match else None
        if rule is None or request.method not in rule.methods:
            return None
        key = rule.key(request)
        wait = rule.rate().hit(key) if key else 0
        return too_many(request, wait) if wait else None


def too_many(request: HttpRequest, seconds: int) -> HttpResponse:
    """The page that says when to come again."""
    context = {"minutes": -(-seconds // MINUTE), "view_name": _view_name(request)}
    response = render(request, "429.html", context, status=429)
    response["Retry-After"] = str(seconds)
    response["Cache-Control"] = "no-store"
    return response


def _view_name(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""
