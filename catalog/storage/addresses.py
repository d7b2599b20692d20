"""Addresses of files that lie elsewhere: what they name, and how anybody can fetch them."""

import re
import shlex
from dataclasses import dataclass

_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.+)", re.DOTALL)
_SERIES = "/*"
# Those of the Imaging Data Commons, whose images are series.
_IDC_BUCKETS = {"idc-open-data", "idc-open-data-two", "idc-open-data-cr"}
_IDC_VIEWER = "https://viewer.imaging.datacommons.cancer.gov/v3/viewer/"
_UID = re.compile(r"[0-9]+(\.[0-9]+)+", re.ASCII)


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


def is_of_idc(address: str) -> bool:
    """Whether it is an address of the Imaging Data Commons."""
    place = parse_bucket_address(address)
    return place is not None and place.bucket in _IDC_BUCKETS


def find_viewer(address: str, *, study_uid: object, series_uid: str) -> str:
    """The page of the IDC's viewer that shows a series of the IDC; empty for what is not its."""
    if not _is_series(address, series_uid) or not _is_uid(study_uid):
        return ""
    return f"{_IDC_VIEWER}?StudyInstanceUIDs={study_uid}&SeriesInstanceUIDs={series_uid}"


def find_fetch_commands(address: str, *, series_uid: str = "") -> list[str]:
    """Lines for a shell, each of which fetches an address of a bucket; none for other addresses.

    They ask without credentials, as anybody may. The last is of the IDC's own tool, for its series.
    """
    command = _find_fetch_command(address)
    if not _is_series(address, series_uid):
        return [command] if command else []
    return [command, f"idc download {series_uid}"]


def _is_series(address: str, series_uid: str) -> bool:
    return is_of_idc(address) and _is_uid(series_uid)


def _is_uid(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 64 and bool(_UID.fullmatch(value))


def _find_fetch_command(address: str) -> str:
    if address.startswith("gs://"):
        return f"gcloud storage cp {shlex.quote(address)} ."
    if not address.startswith("s3://"):
        return ""
    return f"s5cmd --no-sign-request cp {shlex.quote(address)} ."
