"""Checks of `manage.py check` beside Django's, most of them with `--deploy`."""

import re
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from catalog.imaging.decoding.confinement import find_landlock_version
from collections_app.storage import StorageTrouble, archive_store
from collections_app.storage.place import find_mistakes
from medagg.client_address import find_wrong_proxies

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
# With fewer the shares of catalog/storage/web_threads.py, of one thread each, leave pages none.
MIN_WEB_THREADS = 8


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


@register()
def check_web_threads(**kwargs: Any) -> list[CheckMessage]:
    if settings.WEB_THREADS >= MIN_WEB_THREADS:
        return []
    text = f"WEB_THREADS is {settings.WEB_THREADS}: pages would wait for downloads and passwords."
    hint = f"Set it to {MIN_WEB_THREADS} or more; it costs memory only where it is used."
    return [Error(text, hint=hint, id="medagg.E003")]


@register()
def check_trusted_proxies(**kwargs: Any) -> list[CheckMessage]:
    hint = "Give addresses, networks such as 10.0.0.0/8, or “unix” for a socket of this machine."
    return [
        Error(f"TRUSTED_PROXIES names {text!r}, which is no address.", hint=hint, id="medagg.E004")
        for text in find_wrong_proxies()
    ]


@register()
def check_site_url(**kwargs: Any) -> list[CheckMessage]:
    if re.match(r"https?://[^/?#\s]", settings.SITE_URL, re.IGNORECASE):
        return []
    text = f"SITE_URL is {settings.SITE_URL!r}: links in mails would lead nowhere."
    hint = "Give the address with https://, such as https://medagg.example.org."
    return [Warning(text, hint=hint, id="medagg.W005")]


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
