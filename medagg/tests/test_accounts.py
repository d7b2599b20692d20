"""Accounts: signing up, in and out, and getting a new password."""

import re
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

pytestmark = pytest.mark.django_db
GOOD = {"username": "ada", "password1": "a-Long-pass-9", "password2": "a-Long-pass-9"}


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.org", "a-Long-pass-9")


def test_signing_up_signs_in(client: Client) -> None:
    response = client.post("/accounts/signup/", GOOD, follow=True)
    assert response.redirect_chain[-1][0] == "/collections/"
    assert "ada" in response.content.decode()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"username": ""}, "required"),
        ({"username": "ADA"}, "taken"),
        ({"username": "a b"}, "valid username"),
        ({"email": "nonsense"}, "valid email"),
        ({"password2": "another"}, "didn’t match"),
        ({"password1": "12345678", "password2": "12345678"}, "entirely numeric"),
        ({"password1": "password", "password2": "password"}, "too common"),
    ],
)
def test_a_wrong_sign_up_is_explained_and_makes_no_account(
    client: Client, ada: User, changed: dict[str, str], message: str
) -> None:
    response = client.post("/accounts/signup/", {**GOOD, "username": "eve", **changed})
    assert message in response.content.decode().replace("&#x27;", "’")
    assert User.objects.count() == 1


@pytest.mark.parametrize("path", ["/accounts/signup/", "/accounts/login/"])
def test_signing_in_never_leads_to_a_foreign_site(client: Client, ada: User, path: str) -> None:
    data = {**GOOD, "username": "eve"} if "signup" in path else {
        "username": "ada", "password": "a-Long-pass-9"}  # fmt: skip
    response = client.post(f"{path}?next=https://evil.example/", data)
    assert response.headers["Location"] == "/collections/"


def test_an_odd_next_is_no_error(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/accounts/signup/?next=foo").status_code == 302


def test_a_wrong_password_is_refused_without_telling_which_part_was_wrong(
    client: Client, ada: User
) -> None:
    texts = [
        re.sub(r'value="[^"]*"', "", client.post("/accounts/login/", data).content.decode())
        for data in (
            {"username": "ada", "password": "wrong"},
            {"username": "nobody", "password": "wrong"},
        )
    ]
    assert texts[0] == texts[1]
    assert "correct username and password" in texts[0]


def test_signing_out_needs_a_button(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/").headers["Location"] == "/"
    assert client.get("/collections/").status_code == 302


def test_the_password_can_be_changed(client: Client, ada: User) -> None:
    client.force_login(ada)
    client.post(
        "/accounts/password_change/",
        {
            "old_password": "a-Long-pass-9",
            "new_password1": "another-Pass-8",
            "new_password2": "another-Pass-8",
        },
    )
    ada.refresh_from_db()
    assert ada.check_password("another-Pass-8")


def test_a_forgotten_password_is_reset_by_mail(client: Client, ada: User) -> None:
    client.post("/accounts/password_reset/", {"email": "ada@example.org"})
    (link,) = re.findall(r"http://testserver(\S+)", str(mail.outbox[0].body))
    page = client.get(link, follow=True)
    response = client.post(
        page.redirect_chain[-1][0],
        {"new_password1": "another-Pass-8", "new_password2": "another-Pass-8"},
        follow=True,
    )
    assert response.status_code == 200
    ada.refresh_from_db()
    assert ada.check_password("another-Pass-8")
    assert client.get(link, follow=True).status_code == 200, "a used link explains itself"


def test_an_unknown_address_gets_the_same_answer_and_no_mail(client: Client, ada: User) -> None:
    answers = {
        client.post("/accounts/password_reset/", {"email": email}).headers["Location"]
        for email in ("ada@example.org", "nobody@example.org")
    }
    assert answers == {"/accounts/password_reset/done/"}
    assert len(mail.outbox) == 1


def test_without_a_mail_server_mails_are_written_to_a_folder(
    client: Client, ada: User, settings: LazySettings, tmp_path: Path
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    client.post("/accounts/password_reset/", {"email": "ada@example.org"})
    (file,) = tmp_path.iterdir()
    assert "accounts/reset" in file.read_text()


def test_a_form_from_elsewhere_is_refused_with_an_explanation(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post("/accounts/login/", {"username": "ada", "password": "a-Long-pass-9"})
    assert response.status_code == 403
    assert "medagg" in response.content.decode()
