"""Accounts: signing up, in and out, addresses and their confirmation, and getting a new password.

Mails are sent at once here; ``test_account_mail`` has a worker and mail servers.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from medagg.accounts import services
from medagg.accounts.hashing import FewAtATimePBKDF2
from medagg.accounts.links import confirmation_path
from medagg.accounts.mail import send_confirmation
from medagg.celery import app
from medagg.models import Session, WaitingAddress
from medagg.tests.mailbox import link_in
from medagg.throttling import Rate

pytestmark = pytest.mark.django_db
GOOD = {"username": "ada", "password1": "a-Long-pass-9", "password2": "a-Long-pass-9"}


SITE = "https://medagg.example.org"


@pytest.fixture(autouse=True)
def at_once(settings: LazySettings) -> Iterator[None]:
    """Tasks run at once."""
    settings.SITE_URL = SITE
    settings.EMAIL_IS_CONFIGURED = True
    app.conf.task_always_eager = app.conf.task_eager_propagates = True
    yield
    app.conf.task_always_eager = app.conf.task_eager_propagates = False


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.org", "a-Long-pass-9")


def links_of_mails(path: str) -> list[str]:
    """The paths of all mails that begin with this one."""
    texts = [str(each.body) for each in mail.outbox]
    return [link_in(text, SITE) for text in texts if f"{SITE}{path}" in text]


def sign_up(client: Client, **values: str) -> str:
    return client.post("/accounts/signup/", {**GOOD, **values}, follow=True).content.decode()


def can_sign_in(name: str, password: str = GOOD["password1"]) -> bool:
    data = {"username": name, "password": password}
    return Client().post("/accounts/login/", data).status_code == 302


def test_signing_up_signs_in(client: Client) -> None:
    response = client.post("/accounts/signup/", GOOD, follow=True)
    assert response.redirect_chain[-1][0] == "/collections/"
    assert "ada" in response.content.decode()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"username": ""}, "required"),
        ({"username": "ADA"}, "taken"),
        ({"username": "a b"}, "letters from a to z"),
        ({"username": "\N{CYRILLIC SMALL LETTER A}da"}, "letters from a to z"),
        ({"username": "\N{FULLWIDTH LATIN SMALL LETTER A}da"}, "taken"),
        ({"username": "ada@example.org"}, "letters from a to z"),
        ({"username": "e\0ve"}, "Null characters"),
        ({"email": "nonsense"}, "valid email"),
        ({"email": "alongpass9@example.org"}, "too similar to the"),
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
    assert "No account has this user name" in texts[0]


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
    client.post("/accounts/password_reset/", {"email": "ADA@example.org"}, HTTP_HOST="localhost")
    link = links_of_mails("/accounts/reset")[0]
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


def test_a_link_of_a_mail_fills_no_table_with_sessions(client: Client, ada: User) -> None:
    client.post("/accounts/password_reset/", {"email": ada.email})
    (link,) = links_of_mails("/accounts/reset")
    statuses = [Client().get(link).status_code for _ in range(130)]
    assert statuses == [302] * 120 + [429] * 10
    # Nor by another method, which Django's view would answer with a session as well.
    assert Client().options(link).status_code == 405
    assert Session.objects.count() == 120


def test_a_confirmation_locks_the_account_before_the_address_that_waits(ada: User) -> None:
    """As a new password does, which would end with a deadlock else."""
    waiting = WaitingAddress.objects.create(user=ada, address="new@example.org")
    path = confirmation_path(waiting)
    with CaptureQueriesContext(connection) as queries:
        assert Client().post(path).status_code == 302
    sql = [query["sql"] for query in queries]
    locked = next(n for n, each in enumerate(sql) if "FOR NO KEY UPDATE" in each)
    assert "auth_user" in sql[locked]
    assert not any(each.startswith(("DELETE", "UPDATE")) for each in sql[:locked])


def test_an_account_without_a_password_gets_no_mail_for_a_new_one(
    client: Client, ada: User
) -> None:
    ada.set_unusable_password()
    ada.save()
    client.post("/accounts/password_reset/", {"email": ada.email})
    assert not mail.outbox


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
    settings.EMAIL_IS_CONFIGURED = False
    assert "sends no mail" in client.get("/accounts/password_reset/done/").content.decode()
    (file,) = tmp_path.iterdir()
    assert "accounts/reset" in file.read_text()


def test_a_form_from_elsewhere_is_refused_with_an_explanation(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post("/accounts/login/", {"username": "ada", "password": "a-Long-pass-9"})
    assert response.status_code == 403
    assert "medagg" in response.content.decode()


# --- Names and addresses ---
@pytest.mark.parametrize("name", ["ada", "ADA", " Ada", "ada@example.org", "ADA@Example.ORG"])
def test_sign_in_takes_the_name_and_the_address_in_any_case(ada: User, name: str) -> None:
    assert can_sign_in(name)


def test_an_address_that_is_not_confirmed_signs_nobody_in(ada: User) -> None:
    passwords = {"password1": "Eve-pass-77", "password2": "Eve-pass-77"}
    sign_up(Client(), username="eve", email="ada@example.org", **passwords)
    assert not can_sign_in("ada@example.org", "Eve-pass-77")
    assert can_sign_in("ada@example.org")
    assert can_sign_in("eve", "Eve-pass-77")


def test_an_old_name_that_looks_like_an_address_takes_it_from_nobody(ada: User) -> None:
    User.objects.create_user("ADA@example.org", "", "Eve-pass-77")
    assert can_sign_in("ada@example.org")
    assert not can_sign_in("ada@example.org", "Eve-pass-77")


def test_an_address_counts_once_it_is_confirmed(client: Client) -> None:
    page = sign_up(client, email="ada@example.org")
    assert "A mail with a link to confirm ada@example.org is on its way" in page
    user = User.objects.get()
    assert user.email == ""
    assert mail.outbox[0].to == ["ada@example.org"]
    client.post("/accounts/password_reset/", {"email": "ada@example.org"})
    assert len(mail.outbox) == 1, "no other mail before that"
    (link,) = links_of_mails("/accounts/confirm")
    assert "Is this your address?" in Client().get(link).content.decode()
    user.refresh_from_db()
    assert user.email == "", "a program that looks into mails confirms nothing"
    Client().post(link)
    user.refresh_from_db()
    assert user.email == "ada@example.org"
    assert "This link no longer works" in Client().post(link).content.decode()


def test_a_stranger_does_not_learn_that_an_address_is_taken(ada: User) -> None:
    pages = [
        sign_up(Client(), username="eve", email="ADA@example.org"),
        sign_up(Client(), username="rob", email="new@example.org"),
    ]
    known, unknown = (re.sub(r'ADA@|new@|eve|rob|value="\w{64}"', "", page) for page in pages)
    assert known == unknown
    to_owner, to_new = mail.outbox
    assert (to_owner.to, to_new.to) == (["ada@example.org"], ["new@example.org"])
    assert to_owner.subject == "Your address at medagg"
    assert "It was not added there" in str(to_owner.body)


@pytest.mark.parametrize("name", ["www.evil.example", "ALERT-evil-call-0049-900-123456"])
def test_no_name_is_in_a_mail_to_strangers(client: Client, name: str) -> None:
    """It may be a message of its own, and programs for mails make links of names like hosts."""
    sign_up(client, username=name, email="ada@example.org")
    (sent,) = mail.outbox
    assert "evil" not in f"{sent.subject}{sent.body}"
    assert "a user at" in sent.body


def test_the_first_to_confirm_an_address_has_it(client: Client) -> None:
    for name in ("ada", "eve"):
        sign_up(Client(), username=name, email="x@example.org")
    first, second = links_of_mails("/accounts/confirm")
    client.post(second)
    answer = client.post(first)
    assert (answer.status_code, "This address is taken" in answer.content.decode()) == (410, True)
    assert list(User.objects.filter(email="x@example.org").values_list("username", flat=True)) == [
        "eve"
    ]


def test_an_address_is_changed_by_its_new_owner_and_the_old_one_is_told(
    client: Client, ada: User
) -> None:
    client.force_login(ada)
    data = {"email": "new@example.org", "password": "a-Long-pass-9"}
    page = client.post("/accounts/address/", data, follow=True).content.decode()
    assert "so ada@example.org stays your address" in page
    (link,) = links_of_mails("/accounts/confirm")
    client.post(link)
    ada.refresh_from_db()
    assert ada.email == "new@example.org"
    told = mail.outbox[-1]
    assert (told.to, told.subject) == (["ada@example.org"], "Your address at medagg was changed")
    client.post("/accounts/address/", {"email": "", "password": "a-Long-pass-9"})
    ada.refresh_from_db()
    assert ada.email == ""


def test_an_account_that_is_deleted_meanwhile_gets_no_address(ada: User) -> None:
    User.objects.filter(pk=ada.pk).delete()
    services.change_address(user=ada, address="new@example.org")
    assert not WaitingAddress.objects.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"email": "new@example.org", "password": "wrong"}, "not your password"),
        ({"email": "ADA@example.org", "password": "a-Long-pass-9"}, "your address already"),
        ({"email": "nonsense", "password": "a-Long-pass-9"}, "valid email"),
    ],
)
def test_a_wrong_change_of_address_is_explained(
    client: Client, ada: User, data: dict[str, str], message: str
) -> None:
    client.force_login(ada)
    assert message in client.post("/accounts/address/", data).content.decode()
    assert not WaitingAddress.objects.exists()
    assert not mail.outbox


def test_an_earlier_link_confirms_nothing_once_another_address_was_entered(client: Client) -> None:
    sign_up(client, email="first@example.org")
    first = confirmation_path(WaitingAddress.objects.get())
    client.post(
        "/accounts/address/", {"email": "second@example.org", "password": GOOD["password1"]}
    )
    assert client.post(first).status_code == 410
    assert client.get("/accounts/confirm/forged/").status_code == 200
    assert User.objects.get().email == ""


def reset_by_mail(ada: User) -> None:
    page = Client()
    page.post("/accounts/password_reset/", {"email": ada.email})
    form = page.get(links_of_mails("/accounts/reset")[0], follow=True).redirect_chain[-1][0]
    page.post(form, {"new_password1": "another-Pass-8", "new_password2": "another-Pass-8"})


def change_by_page(ada: User) -> None:
    page = Client()
    page.force_login(ada)
    assert "eve@example.net" in page.get("/accounts/password_change/").content.decode()
    page.post("/accounts/password_change/", {
        "old_password": "a-Long-pass-9", "new_password1": "another-Pass-8",
        "new_password2": "another-Pass-8"})  # fmt: skip


def change_in_admin(ada: User) -> None:
    page = Client()
    page.force_login(User.objects.create_superuser("operator"))
    answer = page.post(f"/admin/auth/user/{ada.pk}/password/", {
        "usable_password": "true", "password1": "another-Pass-8",
        "password2": "another-Pass-8"}, follow=True)  # fmt: skip
    assert "The address eve@example.net, not confirmed yet, is dropped." in answer.content.decode()


@pytest.mark.parametrize("change", [reset_by_mail, change_by_page, change_in_admin])
def test_a_new_password_drops_an_address_that_waits(
    client: Client, ada: User, change: Callable[[User], None]
) -> None:
    """Else who once knew the old one would have the account by a mailbox of theirs."""
    client.force_login(ada)
    wanted = {"email": "eve@example.net", "password": "a-Long-pass-9"}
    client.post("/accounts/address/", wanted)
    before = links_of_mails("/accounts/confirm")[0]
    assert "Is this your address?" in Client().get(before).content.decode()

    change(ada)
    ada.refresh_from_db()
    assert ada.check_password("another-Pass-8")
    assert Client().post(before).status_code == 410
    mail.outbox.clear()
    send_confirmation(user_id=ada.pk)  # as a task that the mail server had refused for a while
    assert not mail.outbox
    ada.refresh_from_db()
    assert ada.email == "ada@example.org"


@pytest.mark.parametrize("change", [reset_by_mail, change_by_page, change_in_admin])
def test_a_new_password_gives_back_nothing_that_was_taken_away_while_it_was_hashed(
    ada: User, change: Callable[[User], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by an operator who locks the account."""
    User.objects.filter(pk=ada.pk).update(is_staff=True, is_superuser=True)
    WaitingAddress.objects.create(user=ada, address="eve@example.net")
    hash_it, taken = User.set_password, {"is_active": False, "is_superuser": False}

    def set_password(user: User, password: str) -> None:
        User.objects.filter(pk=ada.pk).update(**taken)
        hash_it(user, password)

    monkeypatch.setattr(User, "set_password", set_password)
    change(ada)
    ada.refresh_from_db()
    assert ada.check_password("another-Pass-8")
    assert {name: getattr(ada, name) for name in taken} == taken


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users.delete(),
        lambda users: users.update(password="of the owner, by a link"),
        lambda users: users.update(email="of@another.example"),
    ],
)
def test_a_new_password_is_not_set_where_the_account_is_another_by_now(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]
) -> None:
    client.force_login(ada)
    hash_it = User.set_password

    def set_password(user: User, password: str) -> None:
        change(User.objects.filter(pk=ada.pk))
        hash_it(user, password)

    monkeypatch.setattr(User, "set_password", set_password)
    form = {"old_password": "a-Long-pass-9", "new_password1": "another-Pass-8"}
    form["new_password2"] = form["new_password1"]
    page = client.post("/accounts/password_change/", form).content.decode()
    assert "The password was not set: this account was changed" in page
    assert not any(user.check_password("another-Pass-8") for user in User.objects.all())


@pytest.mark.parametrize("meanwhile", ["", "owners-Pass-7"])
def test_a_sign_in_hashes_an_old_password_anew_but_writes_over_no_other(
    ada: User, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    settings.PASSWORD_HASHERS = ["medagg.accounts.hashing.FewAtATimePBKDF2"]
    old = FewAtATimePBKDF2().encode("a-Long-pass-9", "of-an-older-version-of-Django", 1000)
    User.objects.filter(pk=ada.pk).update(password=old)

    def make_password(password: str) -> str:
        if meanwhile:
            User.objects.filter(pk=ada.pk).update(password=hashers.make_password(meanwhile))
        return hashers.make_password(password)

    monkeypatch.setattr("medagg.accounts.hashing.make_password", make_password)
    assert Client().post("/accounts/login/", {"username": "ada", "password": "a-Long-pass-9"})
    ada.refresh_from_db()
    assert ada.check_password(meanwhile or "a-Long-pass-9")
    assert ada.password != old


def test_a_sign_in_of_who_knows_the_old_password_leaves_the_link_for_a_new_one(
    client: Client, ada: User
) -> None:
    client.post("/accounts/password_reset/", {"email": ada.email})
    (link,) = links_of_mails("/accounts/reset")
    assert can_sign_in("ada")
    form = client.get(link, follow=True).redirect_chain[-1][0]
    new = {"new_password1": "another-Pass-8", "new_password2": "another-Pass-8"}
    assert client.post(form, new).status_code == 302
    assert can_sign_in("ada", "another-Pass-8")
    assert Client().get(link, follow=True).redirect_chain == [], "once"


def test_a_form_that_was_on_its_way_adds_no_address_to_an_account_with_a_new_password(
    ada: User,
) -> None:
    """The old password had been checked; the owner's new one came before the address was kept."""
    as_checked = User.objects.get(pk=ada.pk)
    reset_by_mail(ada)
    assert not services.change_address(user=as_checked, address="eve@example.net")
    assert not WaitingAddress.objects.exists()


def test_a_change_of_address_that_came_too_late_says_so(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(ada)
    monkeypatch.setattr(services, "change_address", lambda **_: False)
    wanted = {"email": "new@example.org", "password": "a-Long-pass-9"}
    page = client.post("/accounts/address/", wanted).content.decode()
    assert "Your password was changed in this moment" in page
    assert not mail.outbox


def test_one_address_gets_few_mails_whoever_asks(client: Client) -> None:
    sign_up(client, email="ada@example.org")
    for _ in range(5):
        assert client.post("/accounts/address/again/").status_code == 302
        client.post("/accounts/password_reset/", {"email": "ada@example.org"})
    assert len(mail.outbox) == 3
    mail.outbox.clear()
    # Who asks for the first time is not told that others have entered this address.
    pages = [
        sign_up(Client(), username=f"eve{number}", email=address)
        for number, address in enumerate(("ada@example.org", "kim@example.org"))
    ]
    assert [each.to for each in mail.outbox] == [["kim@example.org"]]
    answers = [re.findall("A mail with a link to confirm [^<]*", page) for page in pages]
    assert [len(each) for each in answers] == [1, 1]
    assert answers[0][0].replace("ada@", "kim@") == answers[1][0]


def test_letters_that_count_as_equal_get_no_further_mails(client: Client, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(email="miss.kim@example.org")
    variants = ("miss.kim", "MISS.KIM", "Miss.Kim", "miss.KIM", "MISS.kim")
    for name in variants:
        client.post("/accounts/password_reset/", {"email": f"{name}@example.org"})
    assert len(mail.outbox) == 3
    mail.outbox.clear()
    for number, name in enumerate(variants):
        sign_up(Client(), username=f"eve{number}", email=f"{name}@example.org")
    assert len(mail.outbox) == 3


@pytest.mark.parametrize("name", ["m\u0131ss.kim", "mi\u017fs.kim", "\u212aim"])
def test_an_address_that_no_mail_goes_to_is_refused(client: Client, name: str) -> None:
    """Python's own check of addresses takes these letters for i, s and k."""
    page = sign_up(client, email=f"{name}@example.org")
    assert "letters from a to z before the @" in page
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ['"victim"', r'"v\ictim"', '"victim@example.org"'])
def test_a_name_in_quotation_marks_is_no_further_spelling_of_a_mailbox(
    client: Client, ada: User, name: str
) -> None:
    address = f"{name}@example.org"
    client.force_login(ada)
    pages = [
        sign_up(Client(), username="eve", email=address),
        *(
            client.post(
                f"/accounts/{form}/", {"email": address, "password": GOOD["password1"]}
            ).content.decode()
            for form in ("address", "password_reset")
        ),
    ]
    assert all("without quotation marks" in page for page in pages)
    assert (mail.outbox, User.objects.count()) == ([], 1)


def test_one_client_has_few_mails_sent_to_whatever_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services, "CONFIRMATIONS_OF_CLIENT", Rate("few", 2, 3600))
    client = Client(REMOTE_ADDR="127.0.0.2")
    for number in range(4):
        client.logout()
        page = sign_up(client, username=f"eve{number}", email=f"victim+{number}@example.org")
        assert ("No mail was sent to victim+" in page) == (number >= 2)
    assert len(mail.outbox) == 2
    client.post("/accounts/address/again/")
    assert len(mail.outbox) == 2
    sign_up(Client(REMOTE_ADDR="127.0.0.3"), username="kim", email="kim@example.org")
    assert len(mail.outbox) == 3


def test_all_clients_together_have_so_many_mails_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "CONFIRMATIONS_OF_CLIENT", Rate("few", 2, 3600))
    monkeypatch.setattr(services, "CONFIRMATIONS_OF_ALL", Rate("all", 3, 3600))
    for number in range(4):  # of whom the first is refused two, which do not count for all
        one = Client(REMOTE_ADDR="127.0.0.2")
        sign_up(one, username=f"eve{number}", email=f"victim+{number}@example.org")
    for number in range(3):
        other = Client(REMOTE_ADDR=f"127.0.0.{10 + number}")
        sign_up(other, username=f"kim{number}", email=f"kim{number}@example.org")
    assert len(mail.outbox) == 3
    assert mail.outbox[-1].to == ["kim0@example.org"]

    admin = Client()
    admin.force_login(User.objects.create_superuser("operator"))
    for number in (1, 2):
        chosen = {"action": "ask_to_confirm",
                  "_selected_action": User.objects.get(username=f"kim{number}").pk}  # fmt: skip
        admin.post("/admin/auth/user/", chosen)
    assert [each.to for each in mail.outbox[3:]] == [["kim1@example.org"], ["kim2@example.org"]]


# Full-width letters, which mail writes as plain ones.
SPELLINGS = ("clinic.example", "\uff43linic.example", "c\uff4cinic.example", "CLINIC.\uff45xample",
             "clinic\u3002example")  # fmt: skip


def test_spellings_of_one_domain_are_one_address(client: Client) -> None:
    for number, domain in enumerate(SPELLINGS):
        sign_up(Client(), username=f"eve{number}", email=f"kim@{domain}")
    assert len(mail.outbox) == 3
    assert {each.to[0] for each in mail.outbox} == {"kim@clinic.example"}

    client.post(links_of_mails("/accounts/confirm")[0])
    assert User.objects.get(email="kim@clinic.example").username == "eve0"
    assert all(can_sign_in(f"kim@{domain}") for domain in SPELLINGS)
    mail.outbox.clear()
    for domain in SPELLINGS:
        client.post("/accounts/password_reset/", {"email": f"kim@{domain}"})
    assert len(mail.outbox) == 3


def test_a_domain_with_letters_of_its_language_is_written_as_mail_writes_it() -> None:
    sign_up(Client(), email="ada@b\xfccher.example")
    assert WaitingAddress.objects.get().address == "ada@xn--bcher-kva.example"
    for domain in ("\xfc" * 60 + ".example", "localhost", "\uff4cocalhost", "[127.0.0.1]"):
        page = sign_up(Client(), username="eve", email=f"eve@{domain}")
        assert "Enter a valid email address" in page or "not a number" in page, domain
    assert not User.objects.filter(username="eve").exists()


def test_a_form_in_an_odd_encoding_is_a_bad_request() -> None:
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    client.get("/accounts/login/")
    form = "application/x-www-form-urlencoded; charset=utf-7"
    answer = client.post("/accounts/login/", b"username=a", content_type=form)
    assert (answer.status_code, "Bad request" in answer.content.decode()) == (400, True)


# --- Who may sign up ---
def test_sign_up_can_be_closed(client: Client, settings: LazySettings) -> None:
    settings.REGISTRATION_OPEN = False
    assert client.post("/accounts/signup/", GOOD).status_code == 403
    assert "Sign-up is closed" in client.get("/accounts/signup/").content.decode()
    assert "/accounts/signup/" not in client.get("/accounts/login/").content.decode()
    assert not User.objects.exists()


def test_an_operator_may_have_to_approve(client: Client, settings: LazySettings) -> None:
    settings.REGISTRATION_NEEDS_APPROVAL = True
    operator = User.objects.create_superuser("operator", "op@example.org", "x")
    page = sign_up(client, email="ada@example.org")
    assert "waits for approval" in page
    client.post(links_of_mails("/accounts/confirm")[0])
    data = {"username": "ada", "password": GOOD["password1"]}
    for path in ("/accounts/login/", "/admin/login/"):
        assert "waits for approval" in client.post(path, data).content.decode() or "admin" in path
        assert "_auth_user_id" not in client.session
    wrong = client.post("/accounts/login/", {**data, "password": "wrong"}).content.decode()
    assert "waits for approval" not in wrong
    assert mail.outbox[-1].to == ["op@example.org"]
    client.force_login(operator)
    listed = client.get(links_of_mails("/admin/auth/user/")[0])
    user = User.objects.get(username="ada")
    assert "ada" in listed.content.decode()
    client.post("/admin/auth/user/", {"action": "approve", "_selected_action": user.pk})
    assert can_sign_in("ada")
    assert (mail.outbox[-1].to, mail.outbox[-1].subject) == (
        ["ada@example.org"],
        "Your account at medagg is approved",
    )


def test_an_operator_asks_users_of_earlier_versions_to_confirm(client: Client, ada: User) -> None:
    WaitingAddress.objects.create(user=ada, address="new@example.org")
    client.force_login(User.objects.create_superuser("operator"))
    chosen = {"action": "ask_to_confirm", "_selected_action": ada.pk}
    page = client.post("/admin/auth/user/", chosen, follow=True).content.decode()
    assert "1 mails queued for 1 addresses" in page
    client.post(links_of_mails("/accounts/confirm")[0])
    ada.refresh_from_db()
    assert ada.email == "new@example.org"


@pytest.mark.parametrize("changed", [{"username": "ADA"}, {"email": "Ada@example.org"}])
def test_the_admin_refuses_what_another_account_has(
    client: Client, ada: User, changed: dict[str, str]
) -> None:
    eve = User.objects.create_superuser("eve")
    client.force_login(eve)
    path = f"/admin/auth/user/{eve.pk}/change/"
    form = client.get(path).context["adminform"].form
    fields = {bound.html_name: bound.value() or "" for bound in form}
    further = {
        "waiting_address-TOTAL_FORMS": 0,
        "waiting_address-INITIAL_FORMS": 0,
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00",
    }
    answer = client.post(path, {**fields, **further, **changed})
    assert answer.status_code == 200
    assert "Another user has" in answer.content.decode()


@pytest.mark.parametrize("name", ["\u0430dmin", "x@example.org", "a b"])
def test_the_admin_makes_no_account_with_a_name_that_looks_like_another(
    client: Client, name: str
) -> None:
    client.force_login(User.objects.create_superuser("owner"))
    further = {
        "usable_password": "true",
        "waiting_address-TOTAL_FORMS": 0,
        "waiting_address-INITIAL_FORMS": 0,
    }
    page = client.post("/admin/auth/user/add/", {**GOOD, **further, "username": name})
    assert "Use letters from a to z" in page.content.decode()
    client.post("/admin/auth/user/add/", {**GOOD, **further, "username": "eve"})
    assert [user.username for user in User.objects.order_by("pk")] == ["owner", "eve"]
