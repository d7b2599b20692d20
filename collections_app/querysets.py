"""Querysets of collections and builds, with the only rule of who sees which collection.

Leases use the database's clock, as the clocks of workers may differ.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.functions import Now

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


class CollectionQuerySet(models.QuerySet):
    def visible_to(self, user: "AbstractBaseUser | AnonymousUser") -> Self:
        """The user's own collections: every page and download shows no others."""
        return self.filter(user_id=user.pk) if user.is_authenticated else self.none()

    def pending(self) -> Self:
        return self.filter(status="pending")

    def unverified(self) -> Self:
        """Ready, with an archive that still has to be verified."""
        return self.filter(status="ready", verified_at__isnull=True)

    def with_archives(self, paths: list[str]) -> Self:
        """Those whose archive is one of these files."""
        # The index has only the paths that are set; the database must be told that these are.
        return self.filter(archive_path__in=paths).exclude(archive_path="")

    def brief(self) -> Self:
        """Without what may say much of hundreds of datasets: for work on many collections."""
        return self.defer("filter_snapshot", "options", "provenance")

    def past_their_time(self, now: datetime) -> Self:
        return self.filter(status="ready", expires_at__lt=now)

    def with_reason(self) -> Self:
        """Annotate ``reason``: why the last build failed, as a code; empty if it did not."""
        builds = apps.get_model("collections_app", "Build").objects
        last = builds.filter(collection=OuterRef("pk")).order_by("-pk")
        return self.annotate(reason=Subquery(last.values("reason")[:1]))


class BuildQuerySet(models.QuerySet):
    def unfinished(self) -> Self:
        return self.filter(finished_at__isnull=True)

    def leased(self) -> Self:
        """Builds that a live worker has claimed."""
        return self.unfinished().filter(
            lease_expires_at__gte=Now(), lease_expires_at__lte=Now() + _longest_lease()
        )

    def claimable(self) -> Self:
        """Unfinished builds that no live worker has claimed.

        A lease that ends too far in the future does not count: the clock was set back after it
        was written.
        """
        return self.unfinished().filter(
            Q(attempt_token__isnull=True)
            | Q(lease_expires_at__lt=Now())
            | Q(lease_expires_at__gt=Now() + _longest_lease())
        )

    def claimed_by(self, token: object) -> Self:
        return self.unfinished().filter(attempt_token=token)

    def newest(self) -> Self:
        """The newest build of each collection."""
        builds = self.model._default_manager.filter(collection=OuterRef("collection"))
        return self.filter(~Exists(builds.filter(pk__gt=OuterRef("pk"))))


def _longest_lease() -> timedelta:
    return timedelta(seconds=2 * settings.BUILD_LEASE_SECONDS)


class CollectionItemQuerySet(models.QuerySet):
    def included(self) -> Self:
        return self.filter(is_excluded=False)

    def to_fetch(self) -> Self:
        """The included items that lie elsewhere and are named in the archive."""
        is_elsewhere = Q(metadata_json__has_key="remote_url") & ~Q(
            metadata_json__has_key="file_path"
        )
        return self.included().filter(is_elsewhere).exclude(file_name="")

    def with_problems(self) -> Self:
        return self.exclude(problem="")
