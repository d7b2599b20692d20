"""The signed links by which an address is confirmed, or a password is set."""

from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core import signing
from django.urls import reverse

from medagg.models import WaitingAddress

SALT = "medagg.accounts.confirm-address"
VALID_DAYS = 3


def confirmation_path(waiting: WaitingAddress) -> str:
    token = signing.dumps([waiting.user_id, waiting.address], salt=SALT)
    return reverse("account-confirm", args=[token])


def read_token(token: str) -> WaitingAddress | None:
    """What a link confirms; None if it is not ours, is too old, or the address waits no more."""
    try:
        user_id, address = signing.loads(token, salt=SALT, max_age=VALID_DAYS * 86_400)
    except signing.BadSignature:
        return None
    waiting = WaitingAddress.objects.filter(user_id=user_id, address=address)
    return waiting.select_related("user").first()


class ResetTokens(PasswordResetTokenGenerator):
    """Hold until the password or the address is another, or their time is over.

    Django's end at each sign-in, too: so whoever knew a password could keep its owner from setting
    another one.
    """

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        return f"{user.pk}{user.password}{timestamp}{user.email}"


reset_tokens = ResetTokens()


def owner_of(address: str) -> User | None:
    """The user who has confirmed this address."""
    return User.objects.filter(email__iexact=address).first() if address else None
