"""Checks of `manage.py check --deploy` beside Django's."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

NO_PSEUDONYM_KEY = Warning(
    "PSEUDONYM_KEY is not set: SECRET_KEY stands in for it, so a change of that, after a leak, "
    "would give patients other pseudonyms.",
    hint="Set it to the present SECRET_KEY if DICOM was imported with that, else to a new key "
    "(openssl rand -hex 32).",
    id="medagg.W001",
)


@register(Tags.security, deploy=True)
def check_pseudonym_key(**kwargs: Any) -> list[CheckMessage]:
    return [] if settings.HAS_PSEUDONYM_KEY else [NO_PSEUDONYM_KEY]
