"""Sessions in the database, which knows whose they are."""

import re
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessions

from medagg.models import Session

_KEY = re.compile(r"[0-9a-z]{8,40}")


class SessionStore(DatabaseSessions):
    """Sessions of ``medagg.models.Session``.

    A cookie that can be no key of one is none: PostgreSQL would refuse to look for a NUL.
    """

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        session: Any = super().create_model_instance(data)
        session.user_id = data.get(SESSION_KEY)
        return session

    def _validate_session_key(self, key: str | None) -> bool:
        return bool(key and _KEY.fullmatch(key))
