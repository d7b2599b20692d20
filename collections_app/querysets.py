"""What can be asked of collections; the one rule of who sees which.

Leases are written and compared by the database's clock: the workers' clocks may differ.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


class CollectionQuerySet(models.QuerySet):
    def visible_to(self, user: "AbstractBaseUser | AnonymousUser") -> Self:
        """A collection is its owner's alone, on every page and in every download."""
        return self.filter(user_id=user.pk) if user.is_authenticated else self.none()

    def pending(self) -> Self:
        return self.filter(status="pending")

    def leased(self) -> Self:
        """A worker that lives is building them."""
        return self.filter(
            lease_expires_at__gte=Now(), lease_expires_at__lte=Now() + _longest_lease()
        )

    def lapsed(self) -> Self:
        """Their worker gave no sign of life in time. No lease reaches far into the future either:

        such a one was written before the clock was set back.
        """
        too_late = Q(lease_expires_at__gt=Now() + _longest_lease())
        return self.filter(Q(lease_expires_at__lt=Now()) | too_late)

    def claimable(self) -> Self:
        """Pending, and no worker that lives builds them."""
        free = Q(attempt_token__isnull=True)
        too_late = Q(lease_expires_at__gt=Now() + _longest_lease())
        return self.pending().filter(free | Q(lease_expires_at__lt=Now()) | too_late)

    def claimed_by(self, token: object) -> Self:
        return self.pending().filter(attempt_token=token)

    def past_their_time(self, now: datetime) -> Self:
        return self.filter(status="ready", expires_at__lt=now)


def _longest_lease() -> timedelta:
    return timedelta(seconds=2 * settings.BUILD_LEASE_SECONDS)


class CollectionItemQuerySet(models.QuerySet):
    def included(self) -> Self:
        return self.filter(is_left_out=False)

    def with_problems(self) -> Self:
        return self.exclude(problem="")
