"""What refuses a build: a limit, a quota, no room, or another request at work.

The checks raise exceptions whose messages say why, and what to do.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.models import User
from django.db import OperationalError
from psycopg2.errors import DiskFull

from catalog.search.filters import ImageFilterSet
from collections_app.models import Collection
from collections_app.selection.database_space import DatabaseIsFull, explain_room
from collections_app.selection.limits import explain_limits
from collections_app.selection.quotas import explain_quota, explain_quota_of_new, lock_quota

logger = logging.getLogger(__name__)

YOURS_IS_RUNNING = (
    "Another request of yours is still being worked on. Nothing is lost: wait until it has ended, "
    "then try again."
)
OTHERS_ARE_FROZEN = (
    "The server is freezing the selections of others at the moment. Nothing is lost: your "
    "selection is kept on this page. Try again in half a minute."
)
DATABASE_IS_FULL = (
    "The disk of the server's database is full. Nothing is lost: your selection is kept on this "
    "page. Choose fewer images, or tell the operator and try again later."
)
NO_ROOM_TO_EXCLUDE = (
    "The disk of the server's database is full, so the images cannot be left out now. Nothing was "
    "changed: try again later, or tell the operator."
)


class NotBuildable(Exception):
    """The selection cannot become a collection; the message says why and what to do."""


class OverQuota(NotBuildable):
    """The user has as much as one user may have."""


class Busy(NotBuildable):
    """The server cannot do it now; it can later, without any change by the user."""


def refuse_if(problems: list[str], error: type[NotBuildable] = NotBuildable) -> None:
    if problems:
        raise error(" ".join(problems))


@contextmanager
def explain_full_disk(text: str = DATABASE_IS_FULL) -> Iterator[None]:
    """Raises Busy, with the text, where the database has no room."""
    try:
        yield
    except DatabaseIsFull as error:
        raise Busy(text) from error
    except OperationalError as error:
        if not isinstance(error.__cause__, DiskFull):
            raise
        logger.error("PostgreSQL's disk is full: %s", error)
        raise Busy(text) from error


def hold_quota(user: User) -> None:
    """Lock the user's quota until the transaction ends; a second request does not wait for it."""
    if not lock_quota(user, wait=False):
        raise Busy(YOURS_IS_RUNNING)


def check_selection(user: User, filters: ImageFilterSet, expected_images: int) -> None:
    """Refuse by counts alone, so that what is refused never writes a row."""
    num_images = filters.total
    check_expected(num_images, expected_images)
    refuse_if(explain_limits(num_images=num_images, num_bytes=0))
    num_bytes = filters.count_files()[1]
    refuse_if(explain_limits(num_images=num_images, num_bytes=num_bytes))
    refuse_if(explain_quota_of_new(user, num_images=num_images, num_bytes=num_bytes), OverQuota)
    refuse_if(explain_room(filters), Busy)


def check_expected(found: int, expected: int) -> None:
    if not found:
        raise NotBuildable("No image matches any more. Change the filters.")
    if found != expected:
        raise NotBuildable(
            f"The catalog has changed: {found:,} images match now, not {expected:,}. "
            "Check the new numbers and build again."
        )


def check_quota(collection: Collection) -> None:
    """Raise OverQuota if the owner's quota is exceeded; call ``hold_quota`` before."""
    refuse_if(
        explain_quota(user=collection.user, num_bytes=collection.num_bytes, without=collection),
        OverQuota,
    )
