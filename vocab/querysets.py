from typing import Self

from django.db import models


class TermQuerySet(models.QuerySet):
    """Terms of one vocabulary."""

    def active(self) -> Self:
        return self.filter(is_active=True)
