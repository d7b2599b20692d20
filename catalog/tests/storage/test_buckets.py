"""Buckets are asked as S3 is, within bounds, and nobody but the named server is."""

import hashlib
import hmac
import io
import re
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, repeat, takewhile
from typing import Any
from urllib.parse import unquote

import boto3  # type: ignore[import-untyped,unused-ignore]
import pytest
from botocore.config import Config
from django.conf import LazySettings

from catalog.storage import listing
from catalog.storage.download import download
from catalog.storage.problems import (
    Changed,
    Forbidden,
    Gone,
    ListedFile,
    NotAllowed,
    SourceProblem,
    Unreachable,
)
from catalog.storage.sources import list_files, read_file
from medagg.testing.s3 import BUCKET, S3Server

DOTTED = "our.scans.example"
KEYS = ("a b/+1 %20=&?#.dcm", "ü/§ “q”.dcm", "~!$'(),;:@[]{}|^`\\/x.dcm", "é/plain_1-2.dcm")
ENTRY = "<Contents><Key>{key}</Key><ETag>&quot;x&quot;</ETag><Size>{size}</Size></Contents>"
END = b"</ListBucketResult>"
Answer = tuple[int, dict[str, str], Iterable[bytes]]


@dataclass
class Endpoint:
    """A server that stands in for S3: ``answer`` gets method and target; ``asked`` keeps them."""

    url: str
    answer: Callable[[str, str], Answer] = lambda method, target: (404, {}, [])
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    endpoint: Endpoint

    def handle_error(self, *_: object) -> None:
        """Clients may leave."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        endpoint = self.server.endpoint
        endpoint.asked.append((self.command, self.path, dict(self.headers.items())))
        status, headers, body = endpoint.answer(self.command, self.path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for block in body:
            self.wfile.write(block)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def make_endpoint() -> Iterator[Callable[[], Endpoint]]:
    servers = []

    def make() -> Endpoint:
        server = _Server(("127.0.0.1", 0), _Handler)
        server.endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return server.endpoint

    yield make
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def endpoint(make_endpoint: Callable[[], Endpoint], settings: LazySettings) -> Endpoint:
    """One that the operator has named for the bucket ``ours``."""
    made = make_endpoint()
    settings.FETCH_BUCKETS = ["ours"]
    settings.FETCH_ENDPOINTS = {"ours": made.url}
    return made


def page(entries: str, token: str = "") -> bytes:
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    is_cut = "true" if token else "false"
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{is_cut}</IsTruncated>{more}{entries}"
    ).encode() + END


def put(s3: S3Server, bucket: str, key: str, body: bytes) -> str:
    s3.client.put_object(Bucket=bucket, Key=key, Body=body, ACL="public-read")
    return f"s3://{bucket}/{key}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_where_an_endpoint_redirects_to_is_not_asked(
    endpoint: Endpoint, make_endpoint: Callable[[], Endpoint], status: int
) -> None:
    other = make_endpoint()
    other.answer = lambda method, target: (200, {}, [page(ENTRY.format(key="a/1", size=1))])
    endpoint.answer = lambda method, target: (status, {"Location": f"{other.url}{target}"}, [])

    for address in ("s3://ours/a/*", "s3://ours/a/1"):
        with pytest.raises(NotAllowed, match="sends elsewhere, which is not followed"):
            list_files(address)
    with pytest.raises(NotAllowed, match="sends elsewhere"):
        list(read_file("s3://ours/a/1", ListedFile("1", "a/1", 1, "")))

    assert len(endpoint.asked) == 3
    assert other.asked == []


def test_a_name_that_leads_into_a_private_network_is_asked_only_if_it_is_named(
    endpoint: Endpoint, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.answer = lambda method, target: (200, {"Content-Length": "6", "ETag": '"x"'}, [])
    port, resolve = int(endpoint.url.rpartition(":")[2]), socket.getaddrinfo

    def lead_home(host: Any, *args: Any, **kwargs: Any) -> Any:
        assert host in ("s3.us-east-1.amazonaws.com", "127.0.0.1")
        return resolve("127.0.0.1", port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", lead_home)
    settings.FETCH_ENDPOINTS = {}
    with pytest.raises(NotAllowed, match="private network"):
        list_files("s3://ours/a/1")
    assert endpoint.asked == []

    settings.FETCH_ENDPOINTS = {"ours": "http://s3.us-east-1.amazonaws.com"}
    assert list_files("s3://ours/a/1")[0].size == 6


def test_a_bucket_in_another_region_says_what_to_set(
    endpoint: Endpoint, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, port = socket.getaddrinfo, int(endpoint.url.rpartition(":")[2])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kw: resolve("127.0.0.1", port))
    settings.FETCH_ENDPOINTS = {"ours": "http://s3.us-east-1.amazonaws.com"}
    said = "FETCH_ENDPOINTS=ours=https://s3.eu-west-1.amazonaws.com"
    for status in (301, 400):
        headers = {"x-amz-bucket-region": "eu-west-1", "Location": "http://127.0.0.1/"}
        endpoint.answer = lambda *_, status=status, headers=headers: (status, headers, [])
        for address in ("s3://ours/a/1", "s3://ours/a/*"):
            with pytest.raises(NotAllowed, match=said):
                list_files(address)
    # Words that are no region are not repeated.
    endpoint.answer = lambda *_: (301, {"x-amz-bucket-region": "<b>"}, [])
    with pytest.raises(NotAllowed, match="sends elsewhere"):
        list_files("s3://ours/a/1")


@pytest.mark.parametrize("keys", [{}, {DOTTED: "test:test"}])
def test_keys_with_any_characters_are_asked_as_they_are(
    s3: S3Server, settings: LazySettings, keys: dict[str, str]
) -> None:
    s3.client.create_bucket(Bucket=DOTTED, ACL="public-read")
    settings.FETCH_BUCKETS, settings.FETCH_ENDPOINTS = [DOTTED], {DOTTED: s3.endpoint}
    settings.FETCH_KEYS = keys
    for key in KEYS:
        body = key.encode() * 3
        address = put(s3, DOTTED, key, body)

        (file,) = list_files(address)

        assert (file.name, file.key, file.size) == (key.rpartition("/")[2], key, len(body))
        assert file.md5 == hashlib.md5(body, usedforsecurity=False).hexdigest()
        assert b"".join(read_file(address, file)) == body
    folder = "+ü ~(1)/a&b=c%2F"
    put(s3, DOTTED, f"{folder}/1.dcm", b"one")
    put(s3, DOTTED, f"{folder}/", b"")
    put(s3, DOTTED, f"{folder}-other/2.dcm", b"two")
    (file,) = list_files(f"s3://{DOTTED}/{folder}/*")
    assert b"".join(read_file(f"s3://{DOTTED}/{folder}/*", file)) == b"one"


def test_a_listing_has_all_its_pages(s3: S3Server, endpoint: Endpoint) -> None:
    pages = {
        "": page(ENTRY.format(key="a/3", size=1), "x+/ y"),
        "x+/ y": page("", "z"),
        "z": page(ENTRY.format(key="a/1", size=2)),
    }

    def answer(method: str, target: str) -> Answer:
        found = re.search(r"continuation-token=([^&]*)", target)
        return 200, {}, [pages[unquote(found[1]) if found else ""]]

    endpoint.answer = answer
    assert [(file.name, file.size) for file in list_files("s3://ours/a/*")] == [("1", 2), ("3", 1)]


@pytest.mark.parametrize("keys", ["access:secret/+key", ""])
def test_signatures_are_those_of_botocore(
    endpoint: Endpoint, settings: LazySettings, keys: str
) -> None:
    body = page(ENTRY.format(key="x", size=1))
    headers = {"Content-Length": str(len(body)), "ETag": '"x"'}
    endpoint.answer = lambda method, _: (200, headers, [body] if method == "GET" else [])
    settings.FETCH_KEYS = {"ours": keys} if keys else {}
    client = boto3.client(
        "s3", endpoint_url=endpoint.url, region_name="us-east-1", aws_access_key_id="access",
        aws_secret_access_key="secret/+key",
        config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
    )  # fmt: skip
    for key in KEYS:
        client.head_object(Bucket="ours", Key=key)
        list_files(f"s3://ours/{key}")
        theirs, ours = endpoint.asked[-2:]
        assert ours[:2] == theirs[:2]
        assert is_signed(*theirs, region="us-east-1", secret="secret/+key")
        assert is_signed(*ours, region="us-east-1", secret="secret/+key") == bool(keys)
        assert ("Authorization" in ours[2]) == bool(keys)
        with pytest.raises(Changed):
            list_files(f"s3://ours/{key}/*")
        assert is_signed(*endpoint.asked[-1], region="us-east-1", secret="secret/+key") == bool(
            keys
        )


def is_signed(
    method: str, target: str, headers: dict[str, str], *, region: str, secret: str
) -> bool:
    """What S3 does with a request as it arrives, after the description of the signature."""
    given = {name.lower(): value for name, value in headers.items()}
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=access/(\d{8})/([a-z0-9-]+)/s3/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        given.get("authorization", ""),
    )
    if not found or found[2] != region or "host" not in found[3].split(";"):
        return False
    path, _, query = target.partition("?")
    lines = [f"{name}:{' '.join(given[name].split())}\n" for name in found[3].split(";")]
    request = "\n".join(
        [method, path, "&".join(sorted(filter(None, query.split("&")))), "".join(lines), found[3],
         given["x-amz-content-sha256"]]
    )  # fmt: skip
    scope = f"{found[1]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{given['x-amz-date']}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex() == found[4]


def endless_page() -> Iterator[bytes]:
    yield page("").removesuffix(END)
    yield from repeat(b"<Owner><ID>" + b"x" * 4000 + b"</ID></Owner>")


def endless_objects() -> Iterator[bytes]:
    yield page("").removesuffix(END)
    for number in count():
        yield ENTRY.format(key=f"a/{number}", size=1).encode()


def full_pages(number: int) -> Iterator[bytes]:
    keys = (f"a/{number}-{of_page}-{'x' * 150}" for of_page in range(1000))
    yield page("".join(ENTRY.format(key=key, size=1) for key in keys), f"token-{number}")


@pytest.mark.parametrize(
    ("answers", "problem", "said"),
    [
        (lambda number: endless_page(), Changed, "more than 4 MB at a time"),
        (lambda number: endless_objects(), Changed, "more than 1,000 at a time"),
        (lambda number: full_pages(number), Changed, "more than 20,000 files"),
        (lambda number: [page("", "same")], Changed, "listing does not end"),
        (lambda number: [page("", f"token-{number}")], Changed, "listing does not end"),
        (
            lambda number: [page(ENTRY.format(key=f"a/{number}", size=1), f"t{number % 3}")],
            Changed,
            "listing does not end",
        ),
        (lambda number: [b"<html><body>Welcome</body></html>"], Unreachable, "cannot be read"),
        (lambda number: [page("")[:-30]], Unreachable, "cannot be read"),
        (lambda number: [b"<a>" * 100_000], Unreachable, "cannot be read"),
        (
            lambda number: [
                b'<!DOCTYPE x [<!ENTITY a "b">]>',
                page(ENTRY.format(key="a/&a;", size=1)).removeprefix(b'<?xml version="1.0"?>'),
            ],
            Unreachable,
            "cannot be read",
        ),
        (
            lambda number: [page(ENTRY.format(key="a/" + "x" * 2000, size=1))],
            Changed,
            "no bucket can have",
        ),
        (lambda number: [page(ENTRY.format(key="a/1", size="-1"))], Changed, "no bucket can"),
        (lambda number: [page(ENTRY.format(key="b/1", size=1))], Changed, "does not lie in"),
        (lambda number: [page(ENTRY.format(key="a/b/1", size=1))], Changed, "without folders"),
        (lambda number: [page(ENTRY.format(key="a/1", size=0))], Gone, "no files"),
        (lambda number: [page(ENTRY.format(key="a/b/", size=0))], Gone, "no files"),
        (lambda number: [page(2 * ENTRY.format(key="a/1", size=1))], Unreachable, "'1' twice"),
        (lambda number: [page("").replace(b"false", b"maybe")], Unreachable, "cannot be read"),
    ],
)
def test_a_listing_that_is_none_ends_with_a_problem_and_in_little_memory(
    endpoint: Endpoint,
    answers: Callable[[int], Iterable[bytes]],
    problem: type[SourceProblem],
    said: str,
) -> None:
    numbers = count()
    endpoint.answer = lambda method, target: (200, {}, answers(next(numbers)))
    tracemalloc.start()
    try:
        with pytest.raises(problem, match=said):
            list_files("s3://ours/a/*")
        assert tracemalloc.get_traced_memory()[1] < 12e6
    finally:
        tracemalloc.stop()
    assert len(endpoint.asked) <= listing.MAX_PAGES


@pytest.mark.parametrize("told", ["true", " TRUE ", "1"])
def test_a_listing_goes_on_however_it_says_so(endpoint: Endpoint, told: str) -> None:
    last = page(ENTRY.format(key="a/2", size=1))
    more = page(ENTRY.format(key="a/1", size=1), "next").replace(b">true<", f">{told}<".encode())
    endpoint.answer = lambda method, target: (200, {}, [last if "next" in target else more])
    assert [file.name for file in list_files("s3://ours/a/*")] == ["1", "2"]


@pytest.mark.parametrize("tag", ['"x-1"', "x-1", ' W/"x-1"', ""])
def test_a_tag_may_be_told_in_several_ways(endpoint: Endpoint, tag: str) -> None:
    headers = {"Content-Length": "6"} | ({"ETag": tag} if tag else {})
    endpoint.answer = lambda method, target: (200, headers, [b"pixels"])
    file = ListedFile("1", "a/1", 6, "", '"x-1"')
    assert b"".join(read_file("s3://ours/a/1", file)) == b"pixels"
    with pytest.raises(Unreachable, match="not what was listed") if tag else nullcontext():
        list(read_file("s3://ours/a/1", replace(file, tag='"y-1"')))


@pytest.mark.parametrize(
    ("status", "problem", "said"),
    [
        (404, Gone, "no file at its address"),
        (403, Forbidden, "forbidden"),
        (401, Forbidden, "forbidden"),
        (429, Unreachable, "too busy"),
        (503, Unreachable, "too busy"),
        (500, Unreachable, "too busy"),
        (418, Changed, "the status 418"),
    ],
)
def test_what_a_bucket_does_not_give_is_said(
    endpoint: Endpoint, status: int, problem: type[SourceProblem], said: str
) -> None:
    endpoint.answer = lambda method, target: (status, {}, [])
    for address in ("s3://ours/a/1", "s3://ours/a/*"):
        is_bucket = status == 404 and address.endswith("*")
        with pytest.raises(problem, match="no such bucket" if is_bucket else said):
            list_files(address)


def test_what_is_replaced_after_it_was_listed_is_noticed_also_without_an_md5(s3: S3Server) -> None:
    upload = s3.client.create_multipart_upload(Bucket=BUCKET, Key="a/1.dcm", ACL="public-read")
    part = {"Bucket": BUCKET, "Key": "a/1.dcm", "UploadId": upload["UploadId"]}
    sent = s3.client.upload_part(**part, PartNumber=1, Body=b"pixels")
    done = {"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}]}
    s3.client.complete_multipart_upload(**part, MultipartUpload=done)
    address = f"s3://{BUCKET}/a/*"
    (file,) = list_files(address)
    assert (file.md5, file.tag.endswith('-1"')) == ("", True)
    assert b"".join(read_file(address, file)) == b"pixels"
    s3.put("a/1.dcm", b"lexips")

    with pytest.raises(Unreachable, match="not what was listed"):
        list(read_file(address, file))


@pytest.mark.parametrize("address", ["s3://ours/a/1", "s3://ours/a/*"])
@pytest.mark.parametrize(
    ("encryption", "is_md5"), [("", True), ("AES256", True), ("aws:kms", False)]
)
def test_the_etag_of_what_is_encrypted_by_a_key_service_is_no_md5(
    endpoint: Endpoint, address: str, encryption: str, is_md5: bool
) -> None:
    """Though it has 32 hex digits; only the answer for an object tells of its encryption."""
    tag = "0123456789abcdef" * 2
    headers = {"Content-Length": "6", "ETag": f'"{tag}"'}
    headers |= {"x-amz-server-side-encryption": encryption} if encryption else {}
    listing = page(ENTRY.format(key="a/1", size=6).replace("&quot;x&quot;", tag))
    endpoint.answer = lambda method, target: (
        (200, {}, [listing]) if "list-type" in target else (200, headers, [b"pixels"])
    )
    (file,) = list_files(address)
    output = io.BytesIO()
    with pytest.raises(Unreachable, match="MD5") if is_md5 else nullcontext():
        download(output, address, file)
    assert output.getvalue() == b"pixels"


def test_an_answer_that_drips_is_cut_off_in_the_time_that_it_has(endpoint: Endpoint) -> None:
    """Though each letter of it comes in time."""
    is_over = threading.Event()
    dripping = (b" " for _ in takewhile(lambda _: not is_over.wait(0.2), repeat(None)))
    endpoint.answer = lambda method, target: (200, {}, dripping)
    began = time.monotonic()
    with pytest.raises(Unreachable, match="connection to the source failed"):
        list_files("s3://ours/a/*", seconds=1)
    assert time.monotonic() - began < 3
    is_over.set()


def test_a_web_server_that_tells_no_size_is_named_so(
    endpoint: Endpoint, settings: LazySettings
) -> None:
    settings.FETCH_HOSTS = ["files.example.org"]
    settings.FETCH_ENDPOINTS = {"files.example.org": endpoint.url}
    endpoint.answer = lambda method, target: (200, {}, [b"pixels"])
    with pytest.raises(NotAllowed, match="does not tell its size"):
        list_files("https://files.example.org/a.png")
