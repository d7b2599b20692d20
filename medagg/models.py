"""What the project itself keeps: addresses that wait to be confirmed."""

from django.conf import settings
from django.db import models


class WaitingAddress(models.Model):
    """An address that a user entered and has not confirmed; one for each user, the last one."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="waiting_address", primary_key=True
    )
    address = models.EmailField()
    entered_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "address to be confirmed"
        verbose_name_plural = "addresses to be confirmed"

    def __str__(self) -> str:
        return self.address
