"""Figures for Prometheus at /metrics, for whoever has METRICS_TOKEN.

Requests and previews are counted in each process for pages; PROMETHEUS_MULTIPROC_DIR names the
folder in which all of them keep their counts. Everything else is read when it is asked for.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, Min, Sum
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
    values,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from catalog.models import ImageProfile
from catalog.previews.local import cached_bytes
from collections_app.models import Build, Collection
from medagg.observing.worker_heartbeat import QUEUES

PATH = "/metrics"
METHODS = {"GET", "HEAD", "POST", "OPTIONS"}
TIMEOUT_SECONDS = 2

# More than one process' counts come to.
COUNTS_BYTES = 1 << 18


def _make_room_for_counts(folder: Path) -> None:
    """Whole files for this process, as a write into a hole of one on a full disk would kill it.

    Without room for them it counts for itself alone.
    """
    try:
        for kind in ("counter", "histogram"):
            path = folder / f"{kind}_{os.getpid()}.db"
            if not path.exists():
                path.write_bytes(bytes(COUNTS_BYTES))
    except OSError:
        values.ValueClass = values.MutexValue


if values.ValueClass is not values.MutexValue:
    _make_room_for_counts(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))

REQUESTS = Counter(
    "medagg_requests", "Requests by method, view and status.", ["method", "view", "status"]
)
SECONDS = Histogram(
    "medagg_request_seconds", "Seconds until the response began, by view.", ["view"]
)


def count_request(request: HttpRequest, response: HttpResponse, *, seconds: float) -> None:
    """A view's name, not the path, of which there are without end."""
    found = request.resolver_match
    view = (found.view_name if found else "") or "none"
    method = request.method if request.method in METHODS else "other"
    REQUESTS.labels(method, view, str(response.status_code)).inc()
    SECONDS.labels(view).observe(seconds)


def respond(request: HttpRequest) -> HttpResponse | None:
    """The figures, or a refusal; None for other paths, and if there is no token."""
    if request.path != PATH or not settings.METRICS_TOKEN:
        return None
    given = request.headers.get("Authorization", "")
    if not constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}"):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(render_figures(), content_type=CONTENT_TYPE_LATEST)


def render_figures() -> bytes:
    registry = CollectorRegistry()
    registry.register(_StateCollector())
    # As the library decided when it was imported.
    if values.ValueClass is not values.MutexValue:
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(REGISTRY) + generate_latest(registry)


class _StateCollector(Collector):
    """What the database, the broker and the disks say now."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from _disk_figures()
        yield from _asked("database", DatabaseError, _database_figures)
        yield from _asked("broker", (redis.RedisError, OSError), _broker_figures)


def _asked(server: str, trouble: Any, figures: Any) -> Iterator[GaugeMetricFamily]:
    """The figures of a server; only that it does not answer, if it does not."""
    try:
        found = list(figures())
    except trouble:
        found = []
    yield GaugeMetricFamily(
        f"medagg_{server}_up", f"Whether the {server} answers.", value=float(bool(found))
    )
    yield from found


def _disk_figures() -> Iterator[GaugeMetricFamily]:
    places: dict[str, Path] = {"var": settings.VAR_DIR}
    if not settings.ARCHIVE_STORAGE:  # a bucket says nothing of its size
        places["archives"] = settings.ARCHIVE_ROOT
    for number, root in enumerate(settings.DATASET_ROOTS):
        places[f"datasets-{number}"] = root
    free = GaugeMetricFamily("medagg_disk_free_bytes", "Bytes free on the disk.", labels=["place"])
    size = GaugeMetricFamily("medagg_disk_bytes", "Bytes of the disk.", labels=["place"])
    for place, path in places.items():
        try:
            usage = shutil.disk_usage(path)
        except OSError:  # not made yet
            continue
        free.add_metric([place], usage.free)
        size.add_metric([place], usage.total)
    yield from (free, size)
    yield _gauge(
        "preview_cache_bytes", "Bytes of the previews' cache after its last check.", cached_bytes()
    )


def _database_figures() -> Iterator[GaugeMetricFamily]:
    waiting = Build.objects.claimable().aggregate(number=Count("pk"), since=Min("queued_at"))
    unverified = Collection.objects.unverified().aggregate(
        number=Count("pk"), since=Min("finished_at")
    )
    yield from _queue_figures("work", {"builds": waiting, "verify": unverified})
    yield _gauge("builds_running", "Builds at work.", Build.objects.leased().count())
    ends = GaugeMetricFamily(
        "medagg_builds", "Finished builds of the collections there are.", labels=["outcome"]
    )
    finished = Build.objects.filter(finished_at__isnull=False).order_by()
    for reason, number in finished.values_list("reason").annotate(Count("pk")):
        ends.add_metric([reason or "ready"], number)
    yield ends
    states = GaugeMetricFamily("medagg_collections", "Collections by state.", labels=["status"])
    counts = Collection.objects.order_by().values_list("status").annotate(Count("pk"))
    for status, number in counts:
        states.add_metric([status], number)
    yield states
    archives = Collection.objects.aggregate(bytes=Sum("archive_size"))["bytes"]
    yield _gauge("archive_bytes", "Bytes of the archives of ready collections.", archives)
    images = ImageProfile.objects.aggregate(number=Sum("num_images"), bytes=Sum("num_bytes"))
    yield _gauge("catalog_images", "Images in the catalog.", images["number"])
    yield _gauge("catalog_bytes", "Bytes of the images whose size is known.", images["bytes"])


def _broker_figures() -> Iterator[GaugeMetricFamily]:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS)
    found = {}
    for queue in QUEUES:
        # New messages are put in at the left.
        oldest: Any = client.lindex(queue, -1)
        found[queue] = {"number": client.llen(queue), "since": _find_sent_at(oldest)}
    yield from _queue_figures("messages", found)


def _find_sent_at(message: bytes | None) -> datetime | None:
    """When it was put into the queue; None without a message, and for one that is not medagg's."""
    try:
        return datetime.fromtimestamp(json.loads(message or "")["headers"]["sent_at"], tz=UTC)
    except (ValueError, LookupError, TypeError):
        return None


def _queue_figures(of: str, found: dict[str, dict[str, Any]]) -> Iterator[GaugeMetricFamily]:
    """The database knows what work waits; messages tell the workers of it, and may get lost."""
    length = GaugeMetricFamily(
        f"medagg_queue_{of}", f"How much waits in the queue ({of}).", labels=["queue"]
    )
    age = GaugeMetricFamily(
        f"medagg_queue_{of}_oldest_seconds", "How long the oldest waits.", labels=["queue"]
    )
    for queue, values_ in found.items():
        since = values_["since"]
        length.add_metric([queue], values_["number"])
        age.add_metric([queue], max(0.0, time.time() - since.timestamp()) if since else 0.0)
    yield from (length, age)


def _gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"medagg_{name}", text, value=float(value or 0))
