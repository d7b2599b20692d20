"""Throttles and locks: by address and by account, and none that a forged header evades."""

import socket
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import redis
from axes.models import AccessAttempt
from django.conf import LazySettings, settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.test import Client, RequestFactory
from django.utils import timezone

from catalog.models import Image
from collections_app.tests.factories import make_collection, make_dataset
from medagg.accounts.forms import SignUpForm
from medagg.accounts.services import unlock
from medagg.client_address import client_address
from medagg.tasks import clear_sessions_task
from medagg.testing.nginx import NginxFactory
from medagg.tests.deploy.nginx_client import fetch
from medagg.tests.web_site import run_site
from medagg.throttling import RULES, Rate

pytestmark = pytest.mark.django_db
PASSWORD = "a-Long-pass-9"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.org", PASSWORD)


def sign_in(
    name: str, password: str, *, at: str = "127.0.0.2", path: str = "/accounts/login/"
) -> Any:
    form = urlencode({"username": name, "password": password})
    return Client(REMOTE_ADDR=at).post(path, form, "application/x-www-form-urlencoded")


# --- Signing in ---
def test_failed_sign_ins_lock_an_account_for_their_address_only(ada: User) -> None:
    names = ("ada", "ADA", " ada ", "\uff41da")
    answers = [sign_in(names[n % 4], "wrong").status_code for n in range(10)]
    assert answers == [200] * 9 + [429], "each spelling of the name counts"
    locked = sign_in("ada", PASSWORD)
    assert locked.status_code == 429
    assert locked.headers["Retry-After"] == "900"
    assert "Too many tries to sign in" in locked.content.decode()
    assert sign_in("ada", PASSWORD, path="/admin/login/").status_code == 429
    assert sign_in("ada", PASSWORD, at="127.0.0.3").status_code == 302
    assert sign_in("bob", "wrong").status_code == 200


def test_a_clock_that_was_ahead_keeps_nobody_out_for_longer(ada: User) -> None:
    for _ in range(10):
        sign_in("ada", "wrong")
    AccessAttempt.objects.update(attempt_time=timezone.now() + timedelta(hours=23))
    assert sign_in("ada", PASSWORD).status_code == 429
    clear_sessions_task()
    assert sign_in("ada", PASSWORD).status_code == 302

    rate = Rate("of-a-test", 1, 60)
    assert [rate.hit("x"), rate.hit("x")] == [0, 60]
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        (name,) = client.scan_iter("medagg:rate:of-a-test:*")
        client.expire(name, 86_400)
        assert rate.hit("x") == 60
        assert client.ttl(name) <= 60


@pytest.mark.parametrize("space", [" ", "\t", "\xa0", "\u3000", "\u2028", "\x1c", "\x85"])
@pytest.mark.parametrize("name", ["ada", "ada@example.org"])
def test_space_around_a_name_passes_no_lock(ada: User, name: str, space: str) -> None:
    much = space * 300
    for typed in (name, f"{much}{name}", f"{name}{much}") * 3 + (f"{much}{name}{much}",):
        answer = sign_in(typed, "wrong")
    assert answer.status_code == 429
    for typed in (f"{much}{name}", f"{name}{much}"):
        assert sign_in(typed, PASSWORD).status_code == 429
        assert sign_in(typed, PASSWORD, path="/admin/login/").status_code == 429
    assert sign_in(f"{much}{name}", PASSWORD, at="127.0.0.3").status_code == 302


@pytest.mark.parametrize("domain", ["site.iii", "SITE.III", "site.\u0131ii", "site.i\u0131i"])
def test_a_name_like_an_address_has_one_lock(domain: str) -> None:
    User.objects.create_user("bob@site.iii.example", password=PASSWORD)
    for _ in range(10):
        locked = sign_in("bob@site.iii.example", "wrong")
    assert locked.status_code == 429
    assert sign_in(f"bob@{domain}.example", PASSWORD).status_code != 302


def test_a_name_whose_domain_mail_would_write_otherwise_still_signs_in() -> None:
    User.objects.create_user("bob@b\u00fcro.example", password=PASSWORD)
    assert sign_in("bob@b\u00fcro.example", PASSWORD).status_code == 302


@pytest.mark.parametrize("has_account", [True, False])
def test_a_lock_does_not_tell_whether_an_address_has_an_account(has_account: bool) -> None:
    if has_account:
        User.objects.create_user("kim", "kim@example.org", PASSWORD)
    for _ in range(9):
        assert sign_in("kim@example.org", "wrong").status_code == 200
    assert sign_in("kim", "wrong").status_code == 200, "it says nothing of whose address it is"
    # To the database ı is I, and to mail a full-width letter is a plain one.
    spellings = ("k\u0131m@example.org", "kim@\uff45xample.org", "KIM@EXAMPLE.ORG")
    assert [sign_in(name, "wrong").status_code for name in spellings] == [429] * 3


def test_a_new_password_lifts_the_locks_of_name_and_address(ada: User) -> None:
    for name in ("ada", "ada@example.org"):
        assert [sign_in(name, "wrong").status_code for _ in range(10)][-1] == 429
    unlock(user=ada)
    for name in ("ada", "ada@example.org"):
        assert sign_in(name, PASSWORD).status_code == 302


def test_a_lock_ends_whatever_is_tried_meanwhile(ada: User, settings: LazySettings) -> None:
    for _ in range(12):
        sign_in("ada", "wrong")
    attempt = AccessAttempt.objects.get()
    assert attempt.failures_since_start == 10
    attempt.attempt_time -= settings.AXES_COOLOFF_TIME
    attempt.save()
    assert sign_in("ada", PASSWORD).status_code == 302


@pytest.mark.parametrize("name", ["ada", "ada@example.org"])
def test_a_success_and_a_new_password_forget_failures(ada: User, name: str) -> None:
    for _ in range(9):
        sign_in(name, "wrong")
    assert sign_in(name, PASSWORD).status_code == 302
    assert not AccessAttempt.objects.exists()


def test_one_address_cannot_try_many_accounts(
    ada: User, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = RULES["login"]
    few = type(rule)(lambda: Rate("sign-in", 3, 900), rule.key)
    monkeypatch.setitem(RULES, "login", few)
    answers = [sign_in(f"user-{n}", "wrong").status_code for n in range(4)]
    assert answers == [200, 200, 200, 429]
    assert sign_in("ada", PASSWORD, at="127.0.0.3").status_code == 302


@pytest.mark.parametrize("typed", ["", "\0", "x" * 5000, "ada\0", "а" * 300, "'; --"])
def test_odd_names_are_refused_without_an_error(ada: User, typed: str) -> None:
    assert sign_in(typed, "wrong").status_code == 200


@pytest.mark.parametrize(("count", "status"), [(1_500, 200), (120_000, 400)])
def test_a_very_long_name_costs_no_more_than_another(ada: User, count: int, status: int) -> None:
    """Each of these signs is eighteen letters to whoever writes a domain as mail does."""
    name = "x@" + "\ufdfa." * count + "org"
    before = time.process_time()
    assert sign_in(name, "wrong").status_code == status
    assert time.process_time() - before < 3


def test_without_redis_one_can_still_sign_in(ada: User, settings: LazySettings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert sign_in("ada", PASSWORD).status_code == 302


def test_a_silent_redis_holds_up_nobody(ada: User, settings: LazySettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        assert sign_in("ada", PASSWORD).status_code == 302


def test_locks_can_be_seen_and_lifted_in_the_admin(ada: User) -> None:
    for _ in range(10):
        sign_in("ada", "wrong")
    staff = Client()
    staff.force_login(User.objects.create_superuser("operator"))
    page = staff.get("/admin/axes/accessattempt/?q=ada")
    assert "127.0.0.2" in page.content.decode()
    (attempt,) = AccessAttempt.objects.all()
    assert staff.get(f"/admin/axes/accessattempt/{attempt.pk}/change/").status_code == 200
    data = {"action": "delete_selected", "_selected_action": attempt.pk, "post": "yes"}
    staff.post("/admin/axes/accessattempt/", data)
    assert sign_in("ada", PASSWORD).status_code == 302


# --- The client's address ---
@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "nonsense", "10.1.2.3"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("::ffff:198.51.100.7", "", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::"),
        ("", "203.0.113.9", None),
    ],
)
def test_only_a_trusted_proxy_says_who_the_client_is(
    settings: LazySettings, peer: str, forwarded: str, address: str | None
) -> None:
    settings.TRUSTED_PROXIES = ["10.1.0.0/16"]
    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    assert client_address(request) == address


def test_a_proxy_on_a_socket_of_this_machine_says_it_only_if_it_is_trusted(
    settings: LazySettings,
) -> None:
    settings.TRUSTED_PROXIES = ["10.1.0.0/16", "unix"]
    request = RequestFactory().get("/", REMOTE_ADDR="", HTTP_X_FORWARDED_FOR="203.0.113.9")
    assert client_address(request) == "203.0.113.9"
    settings.TRUSTED_PROXIES = ["10.1.0.0/16", "nginx"]
    assert client_address(request) is None
    with pytest.raises(SystemCheckError, match="TRUSTED_PROXIES names 'nginx', which is no add"):
        call_command("check")


@pytest.mark.django_db(transaction=True)
def test_behind_nginx_a_forged_header_neither_evades_a_throttle_nor_hits_others(
    tmp_path: Path, nginx_server: NginxFactory
) -> None:
    make_dataset(files=1)
    path = f"/images/{Image.objects.get().pk}/file/"
    (tmp_path / "static").mkdir()  # with DEBUG, pages need no collected files
    with run_site(
        tmp_path,
        workers=1,
        behind_nginx=True,
        TRUSTED_PROXIES="127.0.0.1",
        VISITOR_FILES_PER_HOUR="2",
        DEBUG="1",
    ) as site:
        server = nginx_server(upstream_port=site.port, archive_root=tmp_path)
        answers = [
            fetch(server.port, path, {"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(3)
        ]
    assert [each.status for each in answers] == [200, 200, 429]


# --- Files for visitors ---
@pytest.mark.parametrize("peer", ["127.0.0.1", ""])
def test_visitors_get_so_many_files_an_hour_and_users_more(
    settings: LazySettings, peer: str
) -> None:
    settings.VISITOR_FILES_PER_HOUR = 2
    make_dataset(files=1)
    path = f"/images/{Image.objects.get().pk}/file/"
    visitor = Client(REMOTE_ADDR=peer)
    assert [visitor.get(path).status_code for _ in range(2)] == [200, 200]
    refused = visitor.get(path)
    assert refused.status_code == 429
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert "Try again in 60 minutes" in refused.content.decode()
    assert Client(REMOTE_ADDR="127.0.0.9").get(path).status_code == 200
    visitor.force_login(User.objects.create_user("ada"))
    assert visitor.get(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/accounts/signup/", {"username": ""}),
        ("/accounts/password_reset/", {"email": ""}),
    ],
)
def test_forms_that_cost_are_throttled_by_address(path: str, data: dict[str, str]) -> None:
    limit = RULES[path.split("/")[2]].rate().limit
    answers = [Client().post(path, data).status_code for _ in range(limit + 1)]
    assert answers == [200] * limit + [429]
    assert Client().get(path).status_code == 200
    assert Client(REMOTE_ADDR="127.0.0.9").post(path, data).status_code == 200


def test_nobody_guesses_the_password_of_an_open_session() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("ada", password=PASSWORD))
    limit = RULES["password_change"].rate().limit
    guess = {"old_password": "wrong", "new_password1": "x", "new_password2": "x"}
    path = "/accounts/password_change/"
    answers = [client.post(path, guess).status_code for _ in range(limit + 1)]
    assert answers == [200] * limit + [429]
    assert client.get("/admin/password_change/").headers["Location"] == path


# --- Two at a time ---
@pytest.mark.django_db(transaction=True)
def test_equal_sign_ups_at_a_time_make_one_account(settings: LazySettings) -> None:
    barrier = threading.Barrier(4)
    answers: list[Any] = []

    def sign_up(name: str) -> None:
        data = {"username": name, "password1": PASSWORD, "password2": PASSWORD}
        barrier.wait()
        answers.append(Client().post("/accounts/signup/", data))
        connection.close()

    threads = [
        threading.Thread(target=sign_up, args=(name,)) for name in ("eve", "Eve", "eve", "EVE")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.status_code for each in answers) == [200, 200, 200, 302]
    assert all("is taken" in each.content.decode() for each in answers if each.status_code == 200)
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_a_name_that_is_taken_while_the_form_is_read_is_said_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def take_it_first(form: SignUpForm) -> str:
        User.objects.create_user("eve")
        return str(form.cleaned_data["username"])

    monkeypatch.setattr(SignUpForm, "clean_username", take_it_first)
    form = SignUpForm({"username": "eve", "password1": PASSWORD, "password2": PASSWORD})
    assert form.errors == {"username": ["This user name is taken. Choose another one."]}


# --- Builds ---
def test_builds_that_are_cancelled_and_collections_that_are_deleted_count(
    ada: User, settings: LazySettings
) -> None:
    settings.COLLECTION_MAX_PER_HOUR = 2
    make_dataset(files=2)
    client = Client()
    client.force_login(ada)
    collection = make_collection("", user=ada)
    path = collection.get_absolute_url()
    for _ in range(2):
        assert client.post(f"{path}cancel/").status_code == 302
        assert client.post(f"{path}retry/").status_code == 302
    client.post("/collections/new/", {"title": ""})
    client.post("/collections/new/", {"title": ""})
    assert client.post(f"{path}cancel/").status_code == 302
    for action in ("retry", "rebuild", "build-without"):
        assert client.post(f"{path}{action}/").status_code == 429
    assert client.post("/collections/new/", {"title": ""}).status_code == 429
    assert collection.builds.count() == 3
    assert client.get("/collections/new/").status_code == 200
