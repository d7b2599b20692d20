"""Hashing of passwords: each takes a third of a second, so a web process does few at a time."""

from typing import Any

from django.contrib.auth.hashers import PBKDF2PasswordHasher, identify_hasher, make_password
from django.contrib.auth.models import User

from catalog.storage.web_threads import PASSWORDS_AT_ONCE, PASSWORDS_WAITING, FewAtATime

_few = FewAtATime(PASSWORDS_AT_ONCE, waiting=PASSWORDS_WAITING)


class FewAtATimePBKDF2(PBKDF2PasswordHasher):
    """PBKDF2 as Django has it, also to check a password. Raises NoThreadLeft.

    Where its number of iterations has grown, Django would hash a password that was right anew, and
    write that over what its owner has set meanwhile; ``renew_hash`` does not.
    """

    def encode(self, *args: Any, **kwargs: Any) -> str:
        with _few.turn():
            return str(super().encode(*args, **kwargs))

    def verify(self, password: str, encoded: str) -> bool:
        """A wrong one takes as long as it would of a new hash."""
        is_right = bool(super().verify(password, encoded))
        if not is_right:
            self.harden_runtime(password, encoded)
        return is_right

    def must_update(self, encoded: str) -> bool:
        return False

    def is_old(self, encoded: str) -> bool:
        return bool(super().must_update(encoded))


def renew_hash(user: User, password: str) -> None:
    """Hash a password that was right anew if its hash is an old one."""
    hasher = identify_hasher(user.password)
    if isinstance(hasher, FewAtATimePBKDF2) and hasher.is_old(user.password):
        same = User.objects.filter(pk=user.pk, password=user.password)
        new = make_password(password)
        if same.update(password=new):
            user.password = new
