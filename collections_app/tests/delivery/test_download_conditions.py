"""Request headers of a download, well-formed and malformed."""

import logging
from typing import Any

import pytest
from django.test import Client
from django.utils.http import http_date
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from collections_app.delivery.ranges import Version, check_conditions, choose_part
from collections_app.models import Collection
from collections_app.storage import archive_file
from collections_app.tests.ready_archives import make_ready_collection

TIME = 1_262_304_001  # 2010-01-01 00:00:01
VERSION = Version('"abc"', TIME)
CONTENT = bytes(range(256)) * 10


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"If-None-Match": '"abc"'}, 304),
        ({"If-None-Match": 'W/"abc"'}, 304),
        ({"If-None-Match": '"x", W/"y" , "abc"'}, 304),
        ({"If-None-Match": '"x, y","abc","z"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"abcd"'}, 200),
        ({"If-None-Match": '"x abc y"'}, 200),
        ({"If-None-Match": "abc"}, 200),
        ({"If-None-Match": ""}, 200),
        ({"If-Match": '"abc"'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": 'W/"abc"'}, 412),
        ({"If-Match": '"other"'}, 412),
        ({"If-Modified-Since": http_date(TIME)}, 304),
        ({"If-Modified-Since": http_date(TIME + 1)}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Modified-Since": http_date(TIME), "If-None-Match": '"other"'}, 200),
        ({"If-Unmodified-Since": http_date(TIME)}, 200),
        ({"If-Unmodified-Since": http_date(TIME - 1)}, 412),
        ({"If-Unmodified-Since": "never"}, 200),
        ({"If-Unmodified-Since": http_date(TIME - 1), "If-Match": '"abc"'}, 200),
    ],
)
def test_conditional_headers_follow_the_rfc(headers: dict[str, str], status: int) -> None:
    assert check_conditions(headers, VERSION) == status


@pytest.mark.parametrize(
    ("condition", "is_part"),
    [
        ('"abc"', True),
        (' "abc" ', True),
        ('W/"abc"', False),
        ('"other"', False),
        ('"other", "abc"', False),
        ("*", False),
        ("", False),
        ("Fri, 01 Jan 2010 00:00:01 GMT", True),
        ("Friday, 01-Jan-10 00:00:01 GMT", True),
        ("Fri, 01 Jan 2010 00:00:00 GMT", False),
        ("Fri, 01 Jan 2010 00:00:02 GMT", False),
        ("Fri, 01 Jan 99999999999 00:00:01 GMT", False),
    ],
)
def test_if_range_sends_a_part_of_the_same_version_only(condition: str, is_part: bool) -> None:
    part = choose_part({"Range": "bytes=1-2", "If-Range": condition}, VERSION, 10)
    assert (part is not None) == is_part


def test_if_range_of_another_version_ignores_the_range() -> None:
    headers = {"Range": "bytes=100-", "If-Range": '"longer"'}
    assert choose_part(headers, VERSION, 10) is None


@pytest.fixture
def collection(db: None, client: Client) -> Collection:
    made = make_ready_collection(CONTENT)
    client.force_login(made.user)
    return made


def fetch(client: Client, collection: Collection, method: str = "GET", **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/collections/{collection.uuid}/download/"
    response: Any = client.generic(method, path, headers=names)
    streamed = getattr(response, "streaming_content", None)
    response.body = b"".join(streamed) if streamed else response.content
    return response


def test_last_modified_is_the_time_of_the_file(client: Client, collection: Collection) -> None:
    path = archive_file(collection.archive_path)
    response = fetch(client, collection)
    assert response["Last-Modified"] == http_date(int(path.stat().st_mtime))
    part = fetch(client, collection, Range="bytes=5-9", If_Range=response["Last-Modified"])
    assert (part.status_code, part.body) == (206, CONTENT[5:10])
    known = fetch(client, collection, If_Modified_Since=response["Last-Modified"])
    assert (known.status_code, known.body) == (304, b"")
    assert known["ETag"] == response["ETag"]


def test_the_etag_is_strong_and_depends_on_the_bytes(
    client: Client, collection: Collection
) -> None:
    same = make_ready_collection(CONTENT, fingerprint=collection.fingerprint)
    other = make_ready_collection(CONTENT)
    etags = [fetch(client, each)["ETag"] for each in (collection, same, other)]
    assert etags[0] == etags[1] == f'"{collection.fingerprint}"'
    assert etags[2] != etags[0]


def test_if_match_with_another_etag_gets_412(client: Client, collection: Collection) -> None:
    response = fetch(client, collection, If_Match='"another"')
    assert (response.status_code, response.body) == (412, b"")


def test_head_ignores_the_range(client: Client, collection: Collection) -> None:
    for headers in ({}, {"Range": "bytes=5-9"}, {"Range": "bytes=999999-"}):
        response = fetch(client, collection, "HEAD", **headers)
        assert (response.status_code, response.body) == (200, b"")
        assert response["Content-Length"] == str(len(CONTENT))
        assert "Content-Range" not in response
        assert response["Content-Type"] == "application/zip"
    known = fetch(client, collection, "HEAD", If_None_Match="*")
    assert known.status_code == 304


@pytest.mark.parametrize(
    ("slug", "name"), [("a", "a.zip"), ("x_1-y--z", "x_1-y--z.zip"), ("a" * 80, "a" * 80 + ".zip")]
)
def test_the_download_is_named_after_its_folder(
    client: Client, collection: Collection, slug: str, name: str
) -> None:
    Collection.objects.update(slug=slug)
    response = fetch(client, collection)
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'


# Characters allowed in a header, and parts of real headers.
ANY = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)
PIECES = st.lists(
    st.sampled_from(
        ["bytes", "=", "-", ",", " ", "0", "5", "2559", "2560", "9" * 30, '"', "W/", "*", "abc",
         "Fri, 01 Jan 2010 00:00:01 GMT", "Fri", "GMT", "+9999", ":", "\x85", "ÿ", "\t"]
    ),
    max_size=12,
).map("".join)  # fmt: skip
NAMES = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since",
         "If-Unmodified-Since")  # fmt: skip


@hypothesis_settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    method=st.sampled_from(["GET", "HEAD"]),
    headers=st.dictionaries(st.sampled_from(NAMES), ANY | PIECES, max_size=4),
)
@example(method="GET", headers={"If-Range": "Fri, 01 Jan 2010 00:00:01 +99999999999999999999"})
@example(method="GET", headers={"If-Modified-Since": "Fri, 99 Jan 0000 99:99:99 GMT"})
def test_no_header_breaks_a_download(
    client: Client, collection: Collection, method: str, headers: dict[str, str]
) -> None:
    logging.getLogger("django.request").setLevel(logging.ERROR)
    response = fetch(client, collection, method, **headers)
    whole = CONTENT if method == "GET" else b""
    if response.status_code == 200:
        assert response.body == whole
        assert response["Content-Length"] == str(len(CONTENT))
    elif response.status_code == 206:
        unit, _, rest = response["Content-Range"].partition(" ")
        span, _, size = rest.partition("/")
        first, last = map(int, span.split("-"))
        assert (unit, size) == ("bytes", str(len(CONTENT)))
        assert response.body == CONTENT[first : last + 1]
        assert response["Content-Length"] == str(last + 1 - first)
        assert response.body
    else:
        assert response.status_code in (304, 412, 416)
        assert response.body == b""
