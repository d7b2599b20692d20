"""Runs within medagg: keeps a number of builds going, as so many users would."""

import select
import sys
from collections import Counter

from django.contrib.auth.models import User
from django.http import QueryDict

from benchmarks.figures import Figures
from catalog.search.filters import ImageFilterSet
from collections_app.models import Status
from collections_app.services import create_collection, delete_collection

USER = "builder"
LOOK_SECONDS = 0.2


def keep_building(count: int, query: str) -> Figures:
    """Until the input ends. What is built and verified is deleted, and the next one is ordered."""
    user, _ = User.objects.get_or_create(username=USER)
    _order(user, count, query)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    built, reasons = 0, Counter[str]()
    while not select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
        done, failed = _clear(user)
        built += done
        reasons.update(failed)
        _order(user, count, query)
    return {"built": built, "failed": dict(reasons)}


def _order(user: User, count: int, query: str) -> None:
    for _ in range(count - user.collections.count()):
        filters = ImageFilterSet(QueryDict(query))
        create_collection(user=user, title="Load", filters=filters, expected_images=filters.total)


def _clear(user: User) -> tuple[int, list[str]]:
    """Deletes what has come to its end: how many were built, and why others were not."""
    built, failed = 0, []
    for collection in user.collections.all():
        if collection.status == Status.FAILED:
            failed.append(collection.error_message)
        elif collection.verified_at:
            built += 1
        else:
            continue
        delete_collection(collection=collection)
    return built, failed
