"""What can be asked of collections; the one rule of who sees which."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


class CollectionQuerySet(models.QuerySet):
    def visible_to(self, user: "AbstractBaseUser | AnonymousUser") -> Self:
        """A collection is its owner's alone, on every page and in every download."""
        return self.filter(user_id=user.pk) if user.is_authenticated else self.none()

    def pending(self) -> Self:
        return self.filter(status="pending")

    def claimable(self, now: datetime) -> Self:
        """Pending, and no live worker holds it."""
        return self.pending().filter(Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=now))

    def claimed_by(self, token: object) -> Self:
        return self.pending().filter(attempt_token=token)

    def past_their_time(self, now: datetime) -> Self:
        return self.filter(status="ready", expires_at__lt=now)


class CollectionItemQuerySet(models.QuerySet):
    def included(self) -> Self:
        return self.filter(is_left_out=False)

    def with_problems(self) -> Self:
        return self.exclude(problem="")
