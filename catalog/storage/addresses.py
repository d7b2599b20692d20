"""Addresses of files that lie elsewhere: what they name, and how anybody can fetch them."""

import re
import shlex
from dataclasses import dataclass

_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.+)", re.DOTALL)
_SERIES = "/*"


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """An object of a bucket, or with ``is_folder`` all objects below the key, a series' files."""

    bucket: str
    key: str
    is_folder: bool


def parse_bucket_address(address: str) -> BucketAddress | None:
    """What an address such as ``s3://bucket/key`` or ``s3://bucket/key/*`` names; else None.

    The IDC's addresses end in ``/*``: all files of a series.
    """
    found = _S3.fullmatch(address)
    if not found:
        return None
    key = found["key"]
    is_folder = key.endswith(_SERIES)
    key = key.removesuffix(_SERIES)
    parts = key.split("/")
    if not all(parts) or not {".", ".."}.isdisjoint(parts) or not key.isprintable() or "*" in key:
        return None
    return BucketAddress(found["bucket"], key, is_folder)


def find_fetch_command(address: str) -> str:
    """A line for a shell that fetches an address of a bucket; empty for other addresses.

    It asks without credentials, as anybody may. The IDC's addresses end in ``/*``: all files of a
    series.
    """
    if address.startswith("gs://"):
        return f"gcloud storage cp {shlex.quote(address)} ."
    if not address.startswith("s3://"):
        return ""
    if address.endswith(_SERIES):
        folder = shlex.quote(address.removesuffix("*"))
        return f"aws s3 cp --no-sign-request --recursive {folder} ."
    return f"aws s3 cp --no-sign-request {shlex.quote(address)} ."
