"""The signed links by which an address is confirmed."""

from typing import Any

from django.contrib.auth.models import User
from django.core import signing
from django.urls import reverse
from django.utils.crypto import salted_hmac

from medagg.models import WaitingAddress

SALT = "medagg.accounts.confirm-address"
VALID_DAYS = 3


def confirmation_path(waiting: WaitingAddress) -> str:
    token = signing.dumps(_signed(waiting), salt=SALT)
    return reverse("account-confirm", args=[token])


def read_token(token: str) -> WaitingAddress | None:
    """What a link confirms; None if it is not ours or too old.

    Nor does it confirm anything once another address or a new password was entered: who knew the
    old one must not get the account by a mailbox of theirs.
    """
    try:
        signed = signing.loads(token, salt=SALT, max_age=VALID_DAYS * 86_400)
    except signing.BadSignature:
        return None
    waiting = WaitingAddress.objects.filter(user_id=signed[0]).select_related("user").first()
    return waiting if waiting and _signed(waiting) == signed else None


def _signed(waiting: WaitingAddress) -> list[Any]:
    password = salted_hmac(SALT, waiting.user.password).hexdigest()
    return [waiting.user_id, waiting.address, password]


def owner_of(address: str) -> User | None:
    """The user who has confirmed this address."""
    return User.objects.filter(email__iexact=address).first() if address else None
