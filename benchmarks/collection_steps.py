"""Runs within medagg: the steps of a user and a worker with a collection, each one timed."""

import re
import time
from collections.abc import Callable
from uuid import uuid4

import psutil  # type: ignore[import-untyped,import-not-found,unused-ignore]
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client

from benchmarks.figures import Figures, spread
from catalog.search.filters import ImageFilterSet
from collections_app.builds.build import build_collection
from collections_app.builds.fetching import fetch_files, release_files
from collections_app.builds.lease import Heartbeat, claim_build
from collections_app.builds.outcome import fail_archive
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection, Reason, Status
from collections_app.services import (
    create_collection,
    delete_collection,
    expire_collection,
    retry_collection,
)
from collections_app.storage import archive_file

USER = "bench"
# A few images that nothing else uses, for all that a process does only once.
WARM_QUERY = "dataset=bench-warm"
WARM_PAGES, PAGES = 3, 15
# After any last page; the paginator then gives the last one.
BEHIND = 10**9
_IMAGE_LINK = re.compile(r"/images/(\d+)/")


class StepFailed(Exception):
    """A step did not do what is to be measured; the message says what it did."""


def run_step(name: str, *words: str) -> Figures:
    """The figures of a step, with what the process held in memory before it, in bytes."""
    warm_up()
    before = psutil.Process().memory_info().rss
    return STEPS[name](*words) | {"baseline_bytes": before}


def warm_up() -> None:
    """Build and verify a small collection."""
    frozen = freeze(WARM_QUERY, f"Warm {uuid4()}")
    build(str(frozen["id"]))
    delete(str(frozen["id"]))


def freeze(query: str, title: str, fetch: str = "") -> Figures:
    """Freeze, as the button does: ``seconds`` from the filters to the pending collection."""
    user, _ = User.objects.get_or_create(username=USER)
    expected = ImageFilterSet(QueryDict(query)).total
    start = time.perf_counter()
    filters = ImageFilterSet(QueryDict(query))
    collection = create_collection(
        user=user, title=title, filters=filters, expected_images=expected, fetch=bool(fetch)
    )
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "id": collection.pk, "images": collection.num_images}


def build(key: str) -> Figures:
    """What a worker does with the task: ``seconds`` from before the claim to after ready.

    Raises StepFailed when the collection is not ready then.
    """
    start = time.perf_counter()
    build_collection(collection_id=int(key))
    seconds = time.perf_counter() - start
    collection = _find(key)
    if collection.status != Status.READY:
        raise StepFailed(f"the build ended as {collection.status}: {collection.error_message}")
    return {
        "seconds": seconds,
        "path": str(archive_file(collection.archive_path)),
        "name": collection.archive_path,
        "archive_bytes": collection.archive_size,
        "images_below": f"{collection.slug}/images/",
    }


def fetch(key: str) -> Figures:
    """The first part of a build: ``seconds`` from after the claim to before the archive."""
    claim = claim_build(collection_id=int(key))
    if claim is None:
        raise StepFailed("the build cannot be claimed")
    start, worked = time.perf_counter(), time.process_time()
    fetch_files(claim, Heartbeat(claim, lambda done: None))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - worked
    release_files(claim)
    return {"seconds": seconds, "cpu_s": cpu_seconds, "bytes": _find(key).num_bytes}


def verify(key: str) -> Figures:
    """Verify, as a worker does. Raises StepFailed if the archive is not verified then."""
    figures = _timed(lambda: verify_archive(collection_id=int(key)))
    collection = _find(key)
    if not collection.verified_at:
        raise StepFailed(f"the archive is not verified: {collection.error_message}")
    return figures


def show(key: str) -> Figures:
    """The collection's page for its owner, with its first images and with its last ones."""
    collection = _find(key)
    client = Client(headers={"host": "localhost"})
    client.force_login(collection.user)
    address = collection.get_absolute_url()
    first, last = (_ask(client, path) for path in (address, f"{address}?page={BEHIND}"))
    if first["images"] == last["images"]:
        raise StepFailed("the first and the last page of a collection show the same images")
    return {"first": first["times"], "last": last["times"]}


def _ask(client: Client, path: str) -> Figures:
    seconds = []
    for _ in range(WARM_PAGES + PAGES):
        start = time.perf_counter()
        response = client.get(path)
        seconds.append(time.perf_counter() - start)
        if response.status_code != 200:
            raise StepFailed(f"{path} answers {response.status_code}")
    images = _IMAGE_LINK.findall(response.content.decode())
    return {"times": spread(seconds[WARM_PAGES:]), "images": sorted(set(images))}


def rebuild(key: str) -> Figures:
    """Build again what has an archive already, which may have been taken away."""
    collection = _find(key)
    fail_archive(collection=collection, reason=Reason.ARCHIVE_DAMAGED, message="It was moved.")
    retry_collection(collection=_find(key))
    return build(key)


def expire(key: str) -> Figures:
    return _timed(lambda: expire_collection(collection=_find(key)))


def delete(key: str) -> Figures:
    return _timed(lambda: delete_collection(collection=_find(key)))


def _timed(call: Callable[[], None]) -> Figures:
    start = time.perf_counter()
    call()
    return {"seconds": time.perf_counter() - start}


def _find(key: str) -> Collection:
    return Collection.objects.get(pk=int(key))


STEPS: dict[str, Callable[..., Figures]] = {
    "freeze": freeze,
    "build": build,
    "fetch": fetch,
    "verify": verify,
    "show": show,
    "rebuild": rebuild,
    "expire": expire,
    "delete": delete,
}
