"""The basket costs the database nothing, and is nobody else's."""

import hashlib
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.contrib.messages import INFO
from django.contrib.messages.storage.cookie import CookieStorage
from django.http import HttpResponse
from django.test import Client, RequestFactory

from catalog.models import Image
from catalog.search.filters.fields import MAX_PICKED_IMAGES
from collections_app.selection.basket import cookie_name
from collections_app.tests.factories import UserFactory, make_dataset
from medagg.models import Session

pytestmark = pytest.mark.django_db

BASKET = "/collections/basket/"


def tick(client: Client, ids: list[int]) -> Any:
    """As a browser posts it: in parts it would be too long."""
    form = urlencode({"image": ids}, doseq=True)
    return client.post(BASKET, form, "application/x-www-form-urlencoded")


def picks(client: Client) -> str:
    """The query of the basket as a page offers it; empty without one."""
    html = client.get("/images/").content.decode()
    _, found, rest = html.partition("/collections/new/?image=")
    return rest.partition('"')[0].replace("%2C", ",") if found else ""


def test_a_thousand_requests_without_cookies_leave_no_rows() -> None:
    make_dataset()
    one, two, *_ = Image.objects.values_list("pk", flat=True)
    for _ in range(490):
        Client().post(BASKET, {"shown": [one], "next": "/"})
        Client().post(BASKET, {"clear": "1"})
    for path in ("/", "/images/", f"/images/{one}/", "/datasets/", "/accounts/login/") * 2:
        Client().get(path)
        Client().post(BASKET, {"shown": [one, two], "image": [one]}, headers={"HX-Request": "true"})
    assert not Session.objects.exists()


@pytest.mark.parametrize(
    ("address", "next_page"),
    [
        ("http://testserver/images/?q=lung", "/images/?q=lung"),
        ("http://elsewhere/images/", ""),
        ("http://[", ""),
        ("http://%5B", ""),
        ("", ""),
    ],
)
def test_the_tray_knows_the_page_that_it_is_on(
    client: Client, address: str, next_page: str
) -> None:
    make_dataset(files=1)
    image = Image.objects.get().pk
    headers = {"HX-Request": "true", "HX-Current-URL": address,
               "HX-Current-URL-URI-AutoEncoded": "true"}  # fmt: skip
    tray = client.post(BASKET, {"shown": [image], "image": [image]}, headers=headers)
    assert f'name="next" value="{next_page}"' in tray.content.decode()


def test_messages_that_nobody_reads_leave_no_rows(client: Client) -> None:
    """A visitor's next message comes when the cookie of earlier ones is full."""
    dataset = make_dataset(files=1)
    images = Image.objects.bulk_create(
        Image(dataset=dataset, source_id=f"many-{n}") for n in range(MAX_PICKED_IMAGES + 1)
    )
    client.cookies["messages"] = full_cookie_of_messages()
    response = tick(client, [image.pk for image in images])
    assert "At most 500 images" in client.get("/").content.decode()
    assert "messages" in response.cookies
    assert not Session.objects.exists()


def full_cookie_of_messages() -> str:
    request = RequestFactory().get("/")
    storage = CookieStorage(request)
    for number in range(100):
        storage.add(INFO, hashlib.sha256(bytes([number])).hexdigest())
    response = HttpResponse()
    storage.update(response)
    return response.cookies["messages"].value


def test_the_basket_of_a_visitor_needs_no_row(client: Client) -> None:
    make_dataset()
    one, two, *_ = Image.objects.order_by("pk").values_list("pk", flat=True)
    client.post(BASKET, {"shown": [one, two], "image": [one, two]})
    assert picks(client) == f"{one},{two}"
    client.post(BASKET, {"shown": [one], "image": []})
    assert picks(client) == str(two)
    client.post(BASKET, {"clear": "1"})
    assert picks(client) == ""
    assert not Session.objects.exists()


def test_a_full_basket_fits_into_a_cookie(client: Client) -> None:
    """Browsers keep 4,096 bytes; the ids are spread over two billions."""
    dataset = make_dataset(files=1)
    ids = [1_000 + number * 4_000_037 + number**2 % 999_983 for number in range(MAX_PICKED_IMAGES)]
    Image.objects.bulk_create(
        Image(pk=pk, dataset=dataset, source_id=f"many-{pk}", remote_url="s3://x/y") for pk in ids
    )
    response = tick(client, ids)
    assert len(response.cookies[cookie_name()].OutputString()) < 4096
    assert picks(client) == ",".join(map(str, ids))


def test_the_next_user_of_the_browser_finds_no_basket(client: Client) -> None:
    make_dataset()
    one, *_ = Image.objects.values_list("pk", flat=True)
    client.force_login(UserFactory())
    client.post(BASKET, {"shown": [one], "image": [one]})
    assert picks(client) == str(one)
    client.post("/accounts/logout/")
    assert picks(client) == ""
    client.force_login(UserFactory())
    assert picks(client) == ""


def test_a_forged_cookie_is_an_empty_basket(client: Client) -> None:
    make_dataset()
    for forged in ("", "x", "WzFd:1tZ:abc", "." * 3000):
        client.cookies[cookie_name()] = forged
        assert picks(client) == ""


def test_the_cookie_is_for_this_site_alone(client: Client) -> None:
    make_dataset()
    one, *_ = Image.objects.values_list("pk", flat=True)
    cookie = client.post(BASKET, {"shown": [one], "image": [one]}).cookies[cookie_name()]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"]) == ("Lax", "/")
    assert bool(cookie["secure"]) == settings.SESSION_COOKIE_SECURE
