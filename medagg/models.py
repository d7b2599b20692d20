"""What the project itself keeps: addresses that wait to be confirmed, and sessions."""

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
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


class Session(AbstractBaseSession):
    """A sign-in of a user, or what a visitor's browser is to be told.

    No foreign key: Django's store tries for ever to save a session of a user who is gone.
    """

    user_id = models.BigIntegerField(null=True, db_index=True)
