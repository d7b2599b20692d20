"""Requests whose form or address cannot be read: they are refused, and are no error of ours."""

import json
import logging
import time
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.test import Client, RequestFactory

from collections_app.tests.factories import UserFactory
from medagg.busy import MAX_AT_ONCE
from medagg.wsgi import Request, application

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"
# Pages that exist, do not, or lack their last slash; a page of the admin, and a file.
PATHS = ("/accounts/login/", "/nope", "/collections/new", "/admin/nope/", "/static/nope.css")
UNREADABLE = {
    "an encoding that is not UTF-8": f"{FORM}; charset=utf-7",
    "an encoding that is none of texts": f"{FORM}; charset=rot13",
    "parts without a boundary": "multipart/form-data",
    "an odd boundary": "multipart/form-data; boundary=\xe9",
}


@pytest.fixture
def visitor() -> Client:
    """A browser that has been here: its forms are looked at also for pages that do not exist."""
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    client.get("/accounts/login/")
    return client


@pytest.mark.parametrize("content_type", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("path", PATHS)
def test_a_form_that_cannot_be_read_is_refused_wherever_it_is_sent(
    visitor: Client, caplog: pytest.LogCaptureFixture, path: str, content_type: str
) -> None:
    answer = visitor.generic("POST", path, b"a=1", content_type)
    assert (answer.status_code, "Bad request" in answer.content.decode()) == (400, True)
    assert not [line for line in caplog.records if line.levelno >= logging.ERROR]


@pytest.mark.parametrize("length", ["99999999", "9" * 30])
def test_a_form_that_is_too_long_is_refused_wherever_it_is_sent(
    visitor: Client, length: str
) -> None:
    for path in PATHS:
        answer = visitor.generic("POST", path, b"a=1", FORM, CONTENT_LENGTH=length)
        assert answer.status_code == 400, path


@pytest.mark.parametrize("path", ["/accounts/login/", "/accounts/signup/", "/admin/login/"])
def test_no_long_text_is_given_back_to_a_stranger(path: str) -> None:
    long, longer = ({"username": '"' * number} for number in (6_000, 20_000))
    assert len(Client().post(path, long).content) < MAX_AT_ONCE
    assert Client().post(path, longer).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nope/"), ("POST", "/nope/"), ("POST", "/healthz/")]
)
def test_an_error_page_gives_no_long_query_back(visitor: Client, method: str, path: str) -> None:
    short, long = (visitor.generic(method, f"{path}?{'<' * number}") for number in (1, 7_000))
    assert len(long.content) == len(short.content)


@pytest.mark.parametrize("name", ["title", "filters"])
def test_no_long_text_is_given_back_to_a_user(name: str) -> None:
    client = Client()
    client.force_login(UserFactory())
    form = {"title": "Mine", "filters": "", "expected_images": "1"}
    answer = client.post("/collections/new/", form | {name: '"' * 15_000})
    assert len(answer.content) < MAX_AT_ONCE
    assert client.post("/collections/new/", form | {name: '"' * 20_000}).status_code == 400


@pytest.mark.parametrize("path", ["/", "/collections/basket/", "/admin/vocab/label/add/", "/x/"])
def test_a_long_form_is_read_for_curators_only(admin_client: Client, path: str) -> None:
    form = {"name": "%" * 17_000}
    assert Client().post(path, form).status_code == 400
    assert admin_client.post(path, form).status_code == (200 if "admin" in path else 400)


@pytest.mark.parametrize("path", ["/", "/healthz/", "/collections/basket/", "/admin/login/"])
def test_a_long_form_in_parts_is_not_read(path: str) -> None:
    """Of which each line is a message of e-mail to Python."""
    part = b"--b\r\n" + b";\r\n" * 338 + b"\r\n\r\n"
    parts = "multipart/form-data; boundary=b"
    assert Client().generic("POST", path, part * 3, parts).status_code == 400


def ask(path: str, content_type: str = "", **headers: str) -> str:
    """The status that a server behind which the site runs is given."""
    said: list[str] = []

    def start_response(status: str, *rest: Any) -> Any:
        said.append(status)

    environ: dict[str, Any] = RequestFactory().get(path).environ
    application({**environ, "CONTENT_TYPE": content_type, **headers}, start_response)
    return said[0]


PAGE = "/healthz/?q=a&sex=F"
MANY = "/images/?" + "&".join(["q=a"] * 1001)


@pytest.mark.parametrize(
    ("path", "content_type", "status"),
    [
        (PAGE, "text/plain; charset=utf-8", "200 OK"),
        (PAGE, "text/plain; charset=utf8", "200 OK"),
        (PAGE, "text/plain; charset=utf-7", "400 Bad Request"),
        (MANY, "text/plain; charset=utf-8", "400 Bad Request"),
        (PAGE, "text/plain; charset=rot13", "400 Bad Request"),
        (PAGE, "text/plain; charset=punycode", "400 Bad Request"),
        (PAGE, "text/plain; charset=undefined", "400 Bad Request"),
        # Which says nothing that could be understood.
        (PAGE, "text/plain; charset*=bad''x", "200 OK"),
    ],
)
def test_an_address_has_no_encoding_but_utf_8(path: str, content_type: str, status: str) -> None:
    assert ask(path, content_type) == status


@pytest.mark.parametrize(
    "header",
    [
        {"HTTP_COOKIE": 'a="' + "\\" * 60_000 + '"'},
        {"CONTENT_TYPE": 'a/b; x="' + ";" * 60_000 + '"'},
        {"HTTP_COOKIE": "a=;" * 10_000_000},
    ],
    ids=["cookie", "type", "cookies"],
)
def test_no_header_costs_more_than_its_length(header: dict[str, str]) -> None:
    begin = time.process_time()
    assert ask("/healthz/", **header) == "200 OK"
    assert time.process_time() - begin < 0.5


def test_a_path_that_no_page_has_costs_nothing() -> None:
    assert ask("/nope/") == "404 Not Found"  # which loads the page
    begin = time.process_time()
    assert ask("/", PATH_INFO="/nope/" + "\x80" * 1_000_000) == "404 Not Found"
    assert time.process_time() - begin < 0.5


def test_a_cookie_of_another_site_with_many_backslashes_signs_nobody_out() -> None:
    """One of the parent domain, as Python's own library writes JSON."""
    theirs = SimpleCookie({"theirs": json.dumps([f"key {n}" for n in range(60)])})
    cookies = f"{theirs.output(header='')}; sessionid=mine"
    assert cookies.count("\\") > 100
    environ = RequestFactory().get("/accounts/").environ
    assert Request({**environ, "HTTP_COOKIE": cookies}).COOKIES == {"sessionid": "mine"}
