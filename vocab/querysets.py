from typing import Self

from django.db import models
from django.db.models.functions import Lower


class TermQuerySet(models.QuerySet):
    """Terms of one vocabulary."""

    def active(self) -> Self:
        return self.filter(is_active=True)

    def in_order(self) -> Self:
        return self.order_by(Lower("name"), "code")
