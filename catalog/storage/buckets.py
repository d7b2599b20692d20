"""Buckets of S3 that the operator allows: what lies in them, and objects as streams of bytes."""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from urllib.parse import quote, urlencode

import urllib3
from django.conf import settings

from catalog.dataset_hosts import IDC_BUCKETS
from catalog.storage.addresses import BucketAddress, parse_bucket_address
from catalog.storage.listing import (
    MAX_PAGE_OBJECTS,
    Page,
    StoredObject,
    iter_objects,
    read_listing,
)
from catalog.storage.problems import (
    Changed,
    Gone,
    ListedFile,
    NotAllowed,
    Unreachable,
    read_tag,
    shorten_name,
)
from catalog.storage.source_http import (
    NO_SIZE,
    ask,
    iter_body,
    read_size,
    require_status,
    require_tag,
)

REGION = "us-east-1"
_AMAZON = re.compile(r"https?://s3[.-](?P<region>[a-z0-9-]+)[.]amazonaws[.]com")
_REGION = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_ENCRYPTION = "x-amz-server-side-encryption"
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)
# A page, and all pages together: a source that drips is given up.
_PAGE_SECONDS, _LISTING_SECONDS = 60, 600
_NO_BUCKET = "the source has no such bucket any more"


def list_objects(address: str, *, seconds: int, on_page: Callable[[int], None]) -> list[ListedFile]:
    """As ``sources.list_files``, of a bucket; files may be empty."""
    place = _resolve(address)
    bucket = _find_bucket(place.bucket)
    page_seconds = min(seconds, _PAGE_SECONDS)
    if not place.is_folder:
        return [_describe_single(_find_object(bucket, place.key, page_seconds))]
    prefix, left = f"{place.key}/", float(_LISTING_SECONDS)

    def ask_page(token: str) -> Page:
        nonlocal left  # without the time that on_page takes
        if left < 0:
            raise Unreachable("the source takes too long to list what it has")
        began = time.monotonic()
        try:
            return _ask_page(bucket, prefix, token, page_seconds)
        finally:
            left -= time.monotonic() - began

    listed = iter_objects(ask_page, on_page)
    found = [_describe(prefix, each) for each in listed if each.size or not _is_folder(each)]
    if not any(file.size for file in found):
        raise Gone("the source has no files at its address any more")
    names = [file.name for file in found]
    if other := next((f.name for f in found if f.size and not _NAME.fullmatch(f.name)), ""):
        raise Changed(
            f"the source lists {other!r} in the folder of a series; names there are made of "
            "letters, digits, dots, hyphens and underscores, without folders"
        )
    if len(set(names)) < len(names):
        [(twice, _)] = Counter(names).most_common(1)
        raise Unreachable(f"the source lists {twice!r} twice")
    return sorted(found, key=lambda file: file.name)


def _is_folder(found: StoredObject) -> bool:
    """As some programs write one, as an empty object."""
    return found.key.endswith(("/", "_$folder$"))


def read_object(address: str, file: ListedFile, *, seconds: int) -> Iterator[bytes]:
    """The bytes of a listed file, in chunks, which take at most ``seconds`` in all.

    Raises:
        SourceProblem: it is gone, is not given out, or the connection breaks; at their end: they
            are not those of the listed MD5.
    """
    bucket = _find_bucket(_resolve(address).bucket)
    with bucket.ask("GET", file.whole_key, seconds=file.find_seconds(seconds)) as answer:
        require_status(answer, 200)
        require_tag(_tag_of(answer), file.tag)
        # What a key service encrypts has an ETag that looks like an MD5, and is none.
        is_md5 = not answer.headers.get(_ENCRYPTION, "").startswith("aws:kms")
        yield from _check_md5(iter_body(answer), file.md5 if is_md5 else "")


def _check_md5(chunks: Iterator[bytes], expected: str) -> Iterator[bytes]:
    """The chunks. Where no MD5 is expected none is computed: it takes as long as all else together.

    Raises Unreachable at their end if they have another one.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        if expected:
            md5.update(chunk)
        yield chunk
    if expected and md5.hexdigest() != expected:
        raise Unreachable("what came is not what was listed (MD5)")


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Where a bucket is asked; ``keys`` are those of the operator, empty for what is public.

    ``setting`` is what the operator names another endpoint by.
    """

    name: str
    endpoint: str
    region: str
    keys: str
    is_named: bool
    setting: str

    @contextmanager
    def ask(
        self, method: str, key: str, query: dict[str, str] | None = None, *, seconds: int
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer for an object, or with a query for the bucket; raises SourceProblem.

        The bucket stands in the path: names with dots have no certificates, and other servers than
        Amazon's know no names of buckets in their own.
        """
        # All but letters, digits and four signs is encoded: as S3 signs it.
        url = self.endpoint + quote(f"/{self.name}/{key}" if key else f"/{self.name}", safe="/~")
        if query:
            url = f"{url}?{urlencode(query, safe='~', quote_via=quote)}"
        with ask(
            method,
            url,
            seconds=seconds,
            may_be_private=self.is_named,
            headers=self._sign(method, url),
        ) as answer:
            self._require_region(answer)
            yield answer

    def _sign(self, method: str, url: str) -> dict[str, str]:
        if not self.keys:
            return {}
        # Not at the top: botocore takes time and memory, which most sites need not spend.
        signing = import_module("catalog.storage.signing")
        return signing.sign_request(method, url, keys=self.keys, region=self.region)

    def _require_region(self, answer: urllib3.BaseHTTPResponse) -> None:
        """Raises NotAllowed where S3 says that the bucket lies in another region."""
        region = answer.headers.get("x-amz-bucket-region", "")
        if answer.status not in (301, 307, 400) or region == self.region:
            return
        if _REGION.fullmatch(region):
            is_amazon = _AMAZON.match(self.endpoint)
            there = f"https://s3.{region}.amazonaws.com" if is_amazon else "its endpoint there"
            raise NotAllowed(
                f"its bucket lies in the region {region}, and {self.region} was asked; the "
                f"operator has to set {self.setting}={there}"
            )


def _find_bucket(name: str) -> _Bucket:
    endpoint, setting = settings.FETCH_ENDPOINTS.get(name, ""), f"FETCH_ENDPOINTS={name}"
    if name in IDC_BUCKETS and not endpoint:
        # Another bucket stands in for all of the IDC's, which is how a mirror is built.
        endpoint, name = settings.IDC_S3_ENDPOINT, settings.IDC_S3_BUCKET or name
        setting = "IDC_S3_ENDPOINT"
    found = _AMAZON.match(endpoint)
    return _Bucket(
        name=name,
        endpoint=endpoint or f"https://s3.{REGION}.amazonaws.com",
        region=found["region"] if found else REGION,
        keys=settings.FETCH_KEYS.get(name, ""),
        is_named=bool(endpoint),
        setting=setting,
    )


def _find_object(bucket: _Bucket, key: str, seconds: int) -> StoredObject:
    with bucket.ask("HEAD", key, seconds=seconds) as answer:
        require_status(answer, 200)
        if (size := read_size(answer)) is None:
            raise NotAllowed(NO_SIZE)
        return StoredObject(key, size, _tag_of(answer))


def _tag_of(answer: urllib3.BaseHTTPResponse) -> str:
    return read_tag(answer.headers.get("ETag", ""))


def _ask_page(bucket: _Bucket, prefix: str, token: str, seconds: int) -> Page:
    query = {"list-type": "2", "max-keys": str(MAX_PAGE_OBJECTS), "prefix": prefix}
    if token:
        query["continuation-token"] = token
    with bucket.ask("GET", "", query, seconds=seconds) as answer:
        require_status(answer, 200, missing=_NO_BUCKET)
        return read_listing(iter_body(answer))


def _describe_single(found: StoredObject) -> ListedFile:
    name = shorten_name(found.key.rsplit("/", 1)[-1])
    return ListedFile(name, found.key, found.size, _find_md5(found.tag), found.tag)


def _describe(prefix: str, found: StoredObject) -> ListedFile:
    if not found.key.startswith(prefix):
        raise Changed(
            f"the source lists {found.key!r}, which does not lie in the folder of the series"
        )
    name = found.key.removeprefix(prefix)
    return ListedFile(name, name, found.size, _find_md5(found.tag), found.tag, prefix)


def _find_md5(tag: str) -> str:
    """That of an object that was uploaded in parts has a dash, and is no MD5."""
    plain = tag.strip('"').lower()
    return plain if _MD5.fullmatch(plain) else ""


def _resolve(address: str) -> BucketAddress:
    place = parse_bucket_address(address)
    if place is None:
        raise NotAllowed("its address is none that this server can fetch")
    return place
