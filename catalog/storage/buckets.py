"""Buckets that the operator allows: what lies in them, and single objects as streams of bytes.

Nothing else opens an address of a bucket.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import obstore
from django.conf import settings
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from catalog.storage.addresses import BucketAddress, is_of_idc, parse_bucket_address

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

REGION = "us-east-1"
CHUNK = 1 << 20
MOST_SECONDS = 3600
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
# More files than any series has: a listing that goes on and on is none.
MAX_OBJECTS = 20_000


class SourceProblem(Exception):
    """Bytes cannot be had from where they lie; the message says why, for users.

    ``is_lasting`` if trying again later will not help by itself.
    """

    is_lasting = True


class NotAllowed(SourceProblem):
    """The operator has not allowed this place, or medagg does not know how to ask it."""


class Gone(SourceProblem):
    """There is nothing at the address any more."""


class Forbidden(SourceProblem):
    """The place does not give it out."""


class Changed(SourceProblem):
    """It is not what was listed, or not what was frozen."""


class Unreachable(SourceProblem):
    """No connection, or none that lasts."""

    is_lasting = False


@dataclass(frozen=True, slots=True)
class ListedFile:
    """An object: its ``name`` within the series, its size in bytes, and its MD5 where known."""

    name: str
    key: str
    size: int
    md5: str


def name_release(problem: SourceProblem, address: str, release: str) -> SourceProblem:
    """The problem; of what is gone from the IDC, whose data ``release`` the address is of, more."""
    if not isinstance(problem, Gone) or not release or not is_of_idc(address):
        return problem
    return Gone(
        f"it is no longer at its address of IDC release {release}; import_idc with a newer index "
        "finds where it is now"
    )


def can_fetch(address: str) -> bool:
    """Whether this server may fetch what lies at the address."""
    place = parse_bucket_address(address)
    return place is not None and place.bucket in settings.FETCH_BUCKETS


def list_files(address: str, *, seconds: int = MOST_SECONDS) -> list[ListedFile]:
    """The files at an address, sorted by name; one for an address that is no folder.

    ``seconds`` is how long a request may take, with its answer.

    Raises:
        SourceProblem: the place is not allowed, has nothing there, or does not answer.
    """
    place = _resolve(address)
    store = _open(place.bucket, seconds)
    try:
        if not place.is_folder:
            return [_describe(place, obstore.head(store, place.key))]
        found = [_describe(place, each) for each in _iter_objects(store, f"{place.key}/")]
    except (BaseError, OSError, ValueError) as error:
        raise _explain(error) from error
    if not found:
        raise Gone("the source has no files at its address any more")
    names = [file.name for file in found]
    if len(set(names)) < len(names) or not all(_NAME.fullmatch(name) for name in names):
        raise Changed("the source lists files whose names are not safe")
    return sorted(found, key=lambda file: file.name)


def read_file(address: str, file: ListedFile, *, seconds: int = MOST_SECONDS) -> Iterator[bytes]:
    """The bytes of a listed file, in chunks, which take at most ``seconds`` in all.

    Raises:
        SourceProblem: it is gone, is not given out, or the connection breaks.
    """
    store = _open(_resolve(address).bucket, seconds)
    try:
        for chunk in obstore.get(store, file.key).stream(min_chunk_size=CHUNK):
            yield bytes(chunk)
    except (BaseError, OSError, ValueError) as error:
        raise _explain(error) from error


def _iter_objects(store: S3Store, prefix: str) -> Iterator[Any]:
    count = 0
    for batch in store.list(prefix):
        for each in batch:
            count += 1
            if count > MAX_OBJECTS:
                raise Changed(f"the source lists more than {MAX_OBJECTS:,} files for it")
            if each["size"]:  # some stores list folders as empty objects
                yield each


def _describe(place: BucketAddress, found: Any) -> ListedFile:
    key = found["path"]
    name = key.removeprefix(f"{place.key}/") if place.is_folder else key.rsplit("/", 1)[-1]
    tag = (found["e_tag"] or "").strip('"').lower()
    # The tag of an object that was uploaded in parts has a dash, and is no MD5.
    is_md5 = len(tag) == 32 and all(char in "0123456789abcdef" for char in tag)
    return ListedFile(name, key, found["size"], tag if is_md5 else "")


def _resolve(address: str) -> BucketAddress:
    place = parse_bucket_address(address)
    if place is None:
        raise NotAllowed("its address is none that this server can fetch")
    if place.bucket not in settings.FETCH_BUCKETS:
        raise NotAllowed(f"this server does not fetch from the bucket {place.bucket}")
    return place


def _open(bucket: str, seconds: int) -> S3Store:
    # Another bucket stands in for all of the IDC's, which is how a mirror is built.
    name = settings.IDC_S3_BUCKET or bucket
    return _make_store(name, settings.IDC_S3_ENDPOINT, seconds)


@lru_cache(maxsize=16)
def _make_store(bucket: str, endpoint: str, seconds: int) -> S3Store:
    options: ClientConfig = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": "10s",
        # What sends a byte now and then is given up by its rate (see cache.py).
        "read_timeout": f"{settings.FETCH_STALL_SECONDS}s",
        "timeout": f"{seconds}s",
        "user_agent": "medagg",
    }
    place: S3Config = {"region": REGION, "skip_signature": True}
    if endpoint:
        place["endpoint"] = endpoint
    # Retries are ours: a build can be cancelled in their pauses.
    return S3Store(bucket, config=place, client_options=options, retry_config={"max_retries": 0})


def _explain(error: Exception) -> SourceProblem:
    if isinstance(error, FileNotFoundError):
        return Gone("the source has no file at its address any more")
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return Forbidden("the source does not give it out (forbidden)")
    text = str(error)
    if "404 Not Found" in text:
        return Gone("the source has no such bucket any more")
    if isinstance(error, ValueError):
        return Changed("the source names the file in a way that is not safe")
    if "503" in text or "429" in text or "500" in text:
        return Unreachable("the source is too busy")
    return Unreachable("the connection to the source failed")
