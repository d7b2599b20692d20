"""Runs within medagg: a signed-in user and a ready collection with a large archive.

A program of its own, since Django's settings hold for a whole process. Its argument is the size
of the archive in bytes; writes one JSON object.
"""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

BLOCK = 1 << 20
NAME = "benchmark.zip"
FINGERPRINT = "0" * 64


def write_archive(path: Path, size: int) -> None:
    """Write bytes that cannot be compressed or deduplicated."""
    # Not at the top: models can be imported only after django.setup().
    from collections_app.storage import mark_time  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    noise = os.urandom(BLOCK)
    with path.open("wb") as file:
        for number in range(-(-size // BLOCK)):
            block = number.to_bytes(8, "big") + noise[8:]
            file.write(block[: size - number * BLOCK])
    mark_time(path, FINGERPRINT)


def prepare(size: int) -> dict[str, str]:
    """The path of the download and the cookie of its owner."""
    user, _ = get_user_model().objects.get_or_create(username="downloader")
    write_archive(settings.ARCHIVE_ROOT / NAME, size)
    now = timezone.now()
    collection, _ = user.collections.update_or_create(
        archive_path=NAME,
        defaults={
            "title": "Large",
            "slug": "large",
            "status": "ready",
            "archive_size": size,
            "fingerprint": FINGERPRINT,
            # Marked as verified, so that no verification reads it meanwhile.
            "archive_sha256": "0" * 64,
            "verified_at": now,
            "finished_at": now,
            "expires_at": now + timedelta(days=1),
        },
    )
    collection.builds.get_or_create(defaults={"queued_at": now, "finished_at": now})
    browser = Client()
    browser.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    return {
        "path": f"/collections/{collection.uuid}/download/",
        "cookie": f"{name}={browser.cookies[name].value}",
    }


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medagg.settings")
    django.setup()
    sys.stdout.write(json.dumps(prepare(int(sys.argv[1]))) + "\n")


if __name__ == "__main__":
    main()
