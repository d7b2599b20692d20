"""Addresses of pages and of files that lie elsewhere: what they name, and how to fetch them."""

import re
import shlex
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from catalog.dataset_hosts import IDC_BUCKETS
from catalog.limits import MAX_URL

_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.+)", re.DOTALL)
_SERIES = "/*"
_IDC_VIEWER = "https://viewer.imaging.datacommons.cancer.gov/v3/viewer/"
# A host as FETCH_HOSTS names it, perhaps with a port.
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", re.ASCII)
_UNQUOTED = "/~!$&'()*+,;=:@"
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


def find_address_problem(url: str) -> str:
    """What a page's address must not have, as a sentence; empty if it has nothing of it."""
    if not all(char.isprintable() and not char.isspace() for char in url):
        return "An address has no spaces, line breaks or other signs that cannot be seen."
    try:
        parts = urlsplit(url)
        is_page = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_page = False
    if not is_page:
        return "Give the address of a page, which begins with https:// or http://."
    if "@" in parts.netloc:
        return "Leave out what stands before @ in the address: a reader takes it for the host."
    return ""


def check_storage(text: str) -> str:
    """Where a dataset's files are: ``s3://bucket/prefix`` or ``https://host/prefix``, or nothing.

    Raises:
        ValueError: it is something else; the message says what to write.
    """
    storage = text.strip().rstrip("/")
    parts = urlsplit(storage)
    is_bucket = parse_bucket_address(f"{storage}/x") is not None
    is_web = parts.scheme == "https" and _HOST.fullmatch(parts.netloc) is not None
    is_plain = storage.isprintable() and not any(char in storage for char in "?#*\\ ")
    if storage and not (is_plain and (is_bucket or is_web)):
        raise ValueError('write "s3://bucket/prefix" or "https://host/prefix".')
    return storage


def join_storage(storage: str, path: str) -> str:
    """The address of a file by its path in a dataset's storage; empty if none can be made."""
    if not storage or not path:
        return ""
    is_web = storage.startswith("https://")
    address = f"{storage}/{quote(path, safe=_UNQUOTED) if is_web else path}"
    is_good = len(address) <= MAX_URL and address.isprintable()
    return address if is_good and (is_web or parse_bucket_address(address)) else ""


def find_stored_path(storage: str, address: str) -> str:
    """The path of an address in a dataset's storage; empty if it lies elsewhere."""
    if not storage or not address.startswith(f"{storage}/"):
        return ""
    path = address[len(storage) + 1 :]
    return unquote(path) if storage.startswith("https://") else path


def is_of_idc(address: str) -> bool:
    """Whether it is an address of the Imaging Data Commons."""
    place = parse_bucket_address(address)
    return place is not None and place.bucket in IDC_BUCKETS


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
