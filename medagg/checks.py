"""Checks of `manage.py check` beside Django's, most of them with `--deploy`."""

import socket
import sys
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from catalog.imaging.decoding.confinement import find_landlock_version
from collections_app.storage import StorageTrouble, archive_store
from collections_app.storage.place import find_mistakes
from medagg.runner.serving import SEND_BUFFER

NO_PSEUDONYM_KEY = Warning(
    "PSEUDONYM_KEY is not set: SECRET_KEY stands in for it, so a change of that, after a leak, "
    "would give patients other pseudonyms.",
    hint="Set it to the present SECRET_KEY if DICOM was imported with that, else to a new key "
    "(openssl rand -hex 32).",
    id="medagg.W001",
)


MIN_TOKEN_LENGTH = 16
SHORT_METRICS_TOKEN = Warning(
    f"METRICS_TOKEN has fewer than {MIN_TOKEN_LENGTH} characters, so it can be guessed.",
    hint="Make one with: openssl rand -hex 16",
    id="medagg.W002",
)
NO_LANDLOCK = Warning(
    "This kernel has no Landlock: a decoder of pictures that is broken into could read all files "
    "that medagg's user can.",
    hint="Linux has it from 5.13 on; the files /sys/kernel/security/lsm and /proc/config.gz tell "
    "whether it is switched on.",
    id="medagg.W003",
)
SMALL_SEND_BUFFER = Warning(
    "This kernel gives connections less than the send buffer of 1 MB that medagg asks for: without "
    "nginx, clients that do not read a script of more than some 160 KB hold threads for a minute.",
    hint="As root: sysctl -w net.core.wmem_max=1048576, and the same in a file of /etc/sysctl.d.",
    id="medagg.W004",
)


@register(Tags.security, deploy=True)
def check_pseudonym_key(**kwargs: Any) -> list[CheckMessage]:
    return [] if settings.HAS_PSEUDONYM_KEY else [NO_PSEUDONYM_KEY]


@register(Tags.security, deploy=True)
def check_metrics_token(**kwargs: Any) -> list[CheckMessage]:
    is_short = 0 < len(settings.METRICS_TOKEN) < MIN_TOKEN_LENGTH
    return [SHORT_METRICS_TOKEN] if is_short else []


@register(Tags.security, deploy=True)
def check_landlock(**kwargs: Any) -> list[CheckMessage]:
    return [] if find_landlock_version() else [NO_LANDLOCK]


@register(Tags.security, deploy=True)
def check_send_buffer(**kwargs: Any) -> list[CheckMessage]:
    """nginx takes answers from medagg, and waits for clients itself."""
    is_small = not settings.X_ACCEL_PREFIX and find_send_buffer() < SEND_BUFFER
    return [SMALL_SEND_BUFFER] if is_small else []


def find_send_buffer() -> int:
    """The bytes that a connection gets if it asks for SEND_BUFFER; Linux tells their double."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        given = probe.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    return given // 2 if sys.platform == "linux" else given


@register(Tags.files)
def check_archive_storage(**kwargs: Any) -> list[CheckMessage]:
    if not settings.ARCHIVE_STORAGE:
        return []
    hint = "docs/deploy.md, “Archives in object storage”, says how it is set up."
    return [Error(text, hint=hint, id="medagg.E001") for text in find_mistakes()]


@register(Tags.files, deploy=True)
def check_archive_bucket(**kwargs: Any) -> list[CheckMessage]:
    """Writes into the bucket, and removes it: wrong keys would otherwise be told by a build."""
    if not settings.ARCHIVE_STORAGE or find_mistakes():
        return []
    try:
        archive_store().probe()
    except StorageTrouble as error:
        hint = f"It said: {error.__cause__}. docs/deploy.md lists what its keys must be allowed."
        text = f"{settings.ARCHIVE_STORAGE} cannot be used: {error.strerror}."
        return [Error(text, hint=hint, id="medagg.E002")]
    return []
