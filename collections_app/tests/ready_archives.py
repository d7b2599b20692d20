"""Ready collections made without a build, for tests of the download."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.test import Client
from django.utils import timezone

from collections_app.models import Collection, Status
from collections_app.storage import archive_file
from collections_app.tests.factories import UserFactory

BLOCK = 1 << 20


def make_ready_collection(content: bytes = b"", *, name: str = "", **values: Any) -> Collection:
    """A ready collection with ``content``, or the existing file ``name``, as its archive."""
    path = archive_file(name or f"{uuid4()}.zip")
    if not name:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    now = timezone.now()
    collection = Collection.objects.create(
        **{
            "user": values.pop("user", None) or UserFactory(username="owner"),
            "title": "My rays",
            "slug": "my-rays",
            "status": Status.READY,
            "archive_path": path.name,
            "archive_size": path.stat().st_size,
            "fingerprint": hashlib.sha256(path.name.encode()).hexdigest(),
            "finished_at": now - timedelta(days=1),
            "expires_at": now + timedelta(days=1),
            **values,
        }
    )
    collection.builds.create(queued_at=now, started_at=now, finished_at=collection.finished_at)
    return collection


def write_large_file(path: Path, size: int) -> None:
    """Write ``size`` bytes, of which no two megabytes are the same.

    What lies between their numbers are holes, which take neither time nor room.
    """
    with path.open("wb") as file:
        for start in range(0, size, BLOCK):
            file.seek(start)
            file.write((start // BLOCK + 1).to_bytes(8, "big")[: size - start])
        file.truncate(size)


def sign_in(user: AbstractBaseUser) -> str:
    """The Cookie header of a browser with this user signed in."""
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
