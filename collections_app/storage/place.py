"""What the settings say of the object storage: the bucket, and what is wrong with them."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

_ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9._=-]+)*)")

_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket, and what its keys begin with: empty, or ending in a slash."""

    bucket: str
    prefix: str


def parse_place(address: str) -> Place | None:
    """Of ``s3://bucket`` or ``s3://bucket/prefix``; None for everything else."""
    found = _ADDRESS.fullmatch(address)
    if not found or not {".", ".."}.isdisjoint(found[2].split("/")):
        return None
    return Place(found[1], f"{found[2][1:]}/" if found[2] else "")


def find_mistakes() -> list[str]:
    """What an operator has to mend, in sentences."""
    mistakes = []
    if not parse_place(settings.ARCHIVE_STORAGE):
        mistakes.append(
            f"ARCHIVE_STORAGE is “{settings.ARCHIVE_STORAGE}”: it can be empty, s3://bucket or "
            "s3://bucket/prefix."
        )
    # Without keys botocore would look for some in files, and ask addresses of the network.
    for name in ("ARCHIVE_S3_ACCESS_KEY_ID", "ARCHIVE_S3_SECRET_ACCESS_KEY"):
        if not getattr(settings, name):
            mistakes.append(f"ARCHIVE_STORAGE names a bucket, and {name} is not set.")
    if not _REGION.fullmatch(settings.ARCHIVE_S3_REGION):
        mistakes.append(
            f"ARCHIVE_S3_REGION is “{settings.ARCHIVE_S3_REGION}”: it can be as eu-central-1."
        )
    for name in ("ARCHIVE_S3_ENDPOINT", "ARCHIVE_S3_PUBLIC_ENDPOINT"):
        value = getattr(settings, name)
        if value and not _is_endpoint(value):
            mistakes.append(f"{name} is “{value}”: it can be empty or as https://host:port.")
    return mistakes


def _is_endpoint(value: str) -> bool:
    try:
        parts = urlsplit(value)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_bare = not (parts.path or parts.query or parts.fragment or parts.username)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and has_port and is_bare
