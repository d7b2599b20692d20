"""Hashing of passwords: each takes a third of a second, so a web process does few at a time."""

from typing import Any

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from catalog.storage.web_threads import PASSWORDS_AT_ONCE, PASSWORDS_WAITING, FewAtATime

_few = FewAtATime(PASSWORDS_AT_ONCE, waiting=PASSWORDS_WAITING)


class FewAtATimePBKDF2(PBKDF2PasswordHasher):
    """PBKDF2 as Django has it, also to check a password. Raises NoThreadLeft."""

    def encode(self, *args: Any, **kwargs: Any) -> str:
        with _few.turn():
            return str(super().encode(*args, **kwargs))
