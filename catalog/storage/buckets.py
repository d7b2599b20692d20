"""Buckets of S3 that the operator allows: what lies in them, and objects as streams of bytes."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import obstore
from django.conf import settings
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from catalog.storage.addresses import IDC_BUCKETS, BucketAddress, parse_bucket_address
from catalog.storage.problems import (
    Changed,
    Forbidden,
    Gone,
    ListedFile,
    NotAllowed,
    SourceProblem,
    Unreachable,
)

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

REGION = "us-east-1"
CHUNK = 1 << 20
_AMAZON = re.compile(r"https://s3[.-](?P<region>[a-z0-9-]+)[.]amazonaws[.]com")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
# More files than any series has: a listing that goes on and on is none.
MAX_OBJECTS = 20_000


def list_objects(address: str, *, seconds: int) -> list[ListedFile]:
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
        other = next((name for name in names if not _NAME.fullmatch(name)), names[0])
        raise Changed(
            f"the source lists {other!r} in the folder of a series; names there are made of "
            "letters, digits, dots, hyphens and underscores, without folders"
        )
    return sorted(found, key=lambda file: file.name)


def read_object(address: str, file: ListedFile, *, seconds: int) -> Iterator[bytes]:
    """The bytes of a listed file, in chunks, which take at most ``seconds`` in all.

    Raises:
        SourceProblem: it is gone, is not given out, or the connection breaks.
    """
    store = _open(_resolve(address).bucket, file.find_seconds(seconds))
    try:
        found = obstore.get(store, file.key)
        # Also where an answer leads elsewhere, which obstore follows.
        if file.tag and found.meta["e_tag"] != file.tag:
            raise Unreachable("what came is not what was listed (ETag)")
        for chunk in found.stream(min_chunk_size=CHUNK):
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
    return ListedFile(name, key, found["size"], tag if is_md5 else "", (found["e_tag"] or "")[:200])


def _resolve(address: str) -> BucketAddress:
    place = parse_bucket_address(address)
    if place is None:
        raise NotAllowed("its address is none that this server can fetch")
    return place


def _open(bucket: str, seconds: int) -> S3Store:
    endpoint = settings.FETCH_ENDPOINTS.get(bucket, "")
    if bucket in IDC_BUCKETS and not endpoint:
        # Another bucket stands in for all of the IDC's, which is how a mirror is built.
        endpoint, bucket = settings.IDC_S3_ENDPOINT, settings.IDC_S3_BUCKET or bucket
    return _make_store(bucket, endpoint, settings.FETCH_KEYS.get(bucket, ""), seconds)


@lru_cache(maxsize=32)
def _make_store(bucket: str, endpoint: str, keys: str, seconds: int) -> S3Store:
    options: ClientConfig = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": "10s",
        # What sends a byte now and then is given up by its rate (see cache.py).
        "read_timeout": f"{settings.FETCH_STALL_SECONDS}s",
        "timeout": f"{seconds}s",
        "user_agent": "medagg",
    }
    found = _AMAZON.match(endpoint)
    place: S3Config = {"region": found["region"] if found else REGION}
    if keys:
        place["access_key_id"], _, place["secret_access_key"] = keys.partition(":")
    else:
        place["skip_signature"] = True
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
