"""Mails about ended builds, with a real mail server."""

import email
import email.policy
import logging
import socket
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from collections_app import services
from collections_app.models import Collection, Reason
from collections_app.notices.mail import find_due_mails, send_due_mails, send_mail_once
from collections_app.notices.message import mail_turns
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from collections_app.tests.states import as_failed, as_ready, change

pytestmark = pytest.mark.django_db


class Mailbox:
    """The mails that a server has accepted; ``answer`` is its reply to the next ones."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answer = "250 taken"
        self.answer_to_address = "250 known"
        self.asked = 0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked += 1
        if self.answer_to_address.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer_to_address

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.answer.startswith("250"):
            content: Any = envelope.content
            mail = email.message_from_bytes(content, policy=email.policy.default)
            self.mails.append(mail)
        return self.answer

    def read(self) -> tuple[EmailMessage, str]:
        """The only mail, and its text."""
        (mail,) = self.mails
        return mail, mail.get_content().replace("\r\n", "\n")


@pytest.fixture
def mailbox(settings: LazySettings) -> Iterator[Mailbox]:
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = port
    settings.EMAIL_IS_CONFIGURED = True
    settings.SITE_URL = "https://medagg.example.org"
    yield box
    controller.stop()


@pytest.fixture
def owner(client: Client) -> Any:
    user = UserFactory(username="owner", email="owner@example.org")
    client.force_login(user)
    make_dataset(files=2)
    return user


def due(collection: Collection) -> bool:
    collection.refresh_from_db()
    return collection.mail_is_due


def ready(owner: Any, **values: Any) -> Collection:
    title = values.pop("title", "My rays")
    collection = make_collection("", user=owner, title=title, wants_mail=True)
    return as_ready(collection, mail_is_due=True, **values)


def failed(owner: Any, **values: Any) -> Collection:
    collection = make_collection("", user=owner, wants_mail=True)
    return as_failed(collection, mail_is_due=True, **values)


def test_the_mail_of_a_ready_collection_has_its_facts_and_link(
    owner: Any, mailbox: Mailbox, settings: LazySettings
) -> None:
    settings.DEFAULT_FROM_EMAIL = "medagg@example.org"
    collection = ready(owner, archive_size=12_300_000, title="Lungs & <hearts>")
    assert find_due_mails() == [collection.pk]
    send_due_mails()
    mail, text = mailbox.read()
    assert mail["To"] == "owner@example.org"
    assert mail["From"] == "medagg@example.org"
    assert mail["Subject"] == "Your collection at medagg is ready"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "text/plain"
    assert collection.expires_at
    for fact in (
        "“Lungs & <hearts>” is ready to download",
        "2 images, 12.3 MB",
        f"Kept until {collection.expires_at:%-d %B %Y, %H:%M} UTC",
        f"https://medagg.example.org/collections/{collection.uuid}/\n",
    ):
        assert fact in text, text


def test_the_mail_of_a_failed_collection_has_the_reason_and_what_to_do(
    owner: Any, mailbox: Mailbox
) -> None:
    collection = failed(owner, error_message="3 files aren't as the catalog says.")
    send_mail_once(collection_id=collection.pk)
    mail, text = mailbox.read()
    assert mail["Subject"] == "Your collection at medagg could not be built"
    assert "Reason: 3 files aren't as the catalog says." in text
    assert "try again or build without them" in text
    assert f"https://medagg.example.org/collections/{collection.uuid}/" in text


def test_a_mail_is_sent_once(owner: Any, mailbox: Mailbox) -> None:
    collection = ready(owner)
    for _ in range(3):
        send_mail_once(collection_id=collection.pk)
        send_due_mails()
    assert len(mailbox.mails) == 1
    assert not due(collection)


@pytest.mark.parametrize("title", ["two\nlines", "two\r\nBcc: all@example.org", "two\tlines"])
def test_a_title_cannot_add_a_header(owner: Any, mailbox: Mailbox, title: str) -> None:
    collection = change(ready(owner), title=title)
    send_mail_once(collection_id=collection.pk)
    mail, _ = mailbox.read()
    assert mail["Bcc"] is None
    assert mail["To"] == "owner@example.org"
    assert mail["Subject"] == "Your collection at medagg is ready"


def test_a_temporary_refusal_is_tried_again_later(
    owner: Any, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    collection = ready(owner)
    mailbox.answer = "451 the disk is full"
    send_due_mails()
    assert due(collection)
    assert "the mail was refused" in caplog.text
    mailbox.answer = "250 taken"
    send_due_mails()
    assert not due(collection)
    mailbox.read()


def test_a_mailbox_that_takes_nothing_for_now_is_asked_once(
    owner: Any, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    collections = [ready(owner) for _ in range(3)]
    mailbox.answer_to_address = "452 the mailbox is full"
    send_due_mails()
    assert mailbox.asked == 1
    assert all(map(due, collections))
    assert not [line for line in caplog.records if line.levelno >= logging.ERROR]
    mailbox.answer_to_address = "250 known"
    send_due_mails()
    assert len(mailbox.mails) == 3


def test_a_permanently_refused_address_is_not_tried_again(owner: Any, mailbox: Mailbox) -> None:
    collection = ready(owner)
    mailbox.answer_to_address = "450 the mailbox is busy"
    send_due_mails()
    assert due(collection)
    mailbox.answer_to_address = "550 nobody of that name"
    send_due_mails()
    assert not due(collection)


def test_a_server_that_does_not_answer_is_tried_once_for_all_mails(
    owner: Any, mailbox: Mailbox, settings: LazySettings
) -> None:
    """A host that drops packets, so that each try takes the full timeout."""
    collections = [ready(owner) for _ in range(3)]
    settings.EMAIL_TIMEOUT = 0.2
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_PORT = silent.getsockname()[1]
        send_due_mails()
        silent.settimeout(1)
        silent.accept()[0].close()
        silent.settimeout(0.1)
        with pytest.raises(TimeoutError):
            silent.accept()
    assert all(due(collection) for collection in collections)


def test_a_time_limit_while_sending_loses_no_mail(
    owner: Any, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = ready(owner)

    def strike(*args: object, **kwargs: object) -> None:
        raise SoftTimeLimitExceeded

    with monkeypatch.context() as patched:
        patched.setattr("django.core.mail.EmailMessage.send", strike)
        with pytest.raises(SoftTimeLimitExceeded):
            send_due_mails()
    assert due(collection)
    send_due_mails()
    mailbox.read()


def test_an_unreachable_server_is_tried_again_later(
    owner: Any, mailbox: Mailbox, settings: LazySettings
) -> None:
    collection = ready(owner)
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    send_due_mails()
    assert due(collection)
    settings.EMAIL_PORT = port
    send_due_mails()
    assert not mailbox.mails
    mail_turns.forget()  # a minute later
    send_due_mails()
    mailbox.read()


@pytest.mark.parametrize("address", ["odd\nBcc: all@example.org", "odd\r\n@example.org"])
def test_an_invalid_address_does_not_stop_other_mails(
    owner: Any, mailbox: Mailbox, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad = ready(UserFactory(username="odd", email=address))
    good = ready(owner)
    send_due_mails()
    mail, _ = mailbox.read()
    assert mail["To"] == "owner@example.org"
    assert (due(bad), due(good)) == (False, False)
    assert "the mail cannot be written" in caplog.text


def test_a_mail_is_given_up_after_a_day(
    owner: Any, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    collection = ready(owner, finished_at=timezone.now() - timedelta(hours=25))
    send_due_mails()
    assert mailbox.mails == []
    assert not due(collection)
    assert "given up" in caplog.text


def test_an_address_that_is_not_confirmed_gets_no_mail(owner: Any, mailbox: Mailbox) -> None:
    names = {"username": "eve", "email": "eve@example.org"}
    passwords = {"password1": "a-Long-pass-9", "password2": "a-Long-pass-9"}
    stranger = Client()
    stranger.post("/accounts/signup/", {**names, **passwords})
    ready(type(owner).objects.get(username="eve"))
    send_due_mails()
    assert mailbox.mails == []
    assert "E-mail me" not in stranger.get("/collections/new/").content.decode()


@pytest.mark.parametrize("values", [{"is_active": False}, {"email": ""}])
def test_inactive_users_and_those_without_address_get_no_mail(
    owner: Any, mailbox: Mailbox, values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    collection = ready(owner)
    type(owner).objects.filter(pk=owner.pk).update(**values)
    send_due_mails()
    assert mailbox.mails == []
    assert not due(collection)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_build_cancelled_by_its_owner_sends_no_mail(owner: Any, mailbox: Mailbox) -> None:
    failed(owner, error_message=services.CANCELLED, reason=Reason.CANCELLED)
    send_due_mails()
    assert mailbox.mails == []


def test_pending_and_deleted_collections_send_no_mail(owner: Any, mailbox: Mailbox) -> None:
    collection = make_collection("", user=owner, wants_mail=True)
    change(collection, mail_is_due=True)
    assert find_due_mails() == []
    send_mail_once(collection_id=collection.pk)
    assert due(collection), "there will be a mail about it"
    send_mail_once(collection_id=0)
    assert mailbox.mails == []


# --- The form ---
def test_mail_is_offered_only_if_it_can_be_sent(
    client: Client, owner: Any, settings: LazySettings
) -> None:
    settings.EMAIL_IS_CONFIGURED = True
    html = client.get("/collections/new/").content.decode()
    assert "E-mail me when it is ready" in html
    assert "owner@example.org" in html
    settings.EMAIL_IS_CONFIGURED = False
    assert "E-mail me" not in client.get("/collections/new/").content.decode()
    settings.EMAIL_IS_CONFIGURED = True
    assert "E-mail me" not in Client().get("/collections/new/").content.decode()
    client.force_login(UserFactory(username="without-address"))
    assert "E-mail me" not in client.get("/collections/new/").content.decode()


@pytest.mark.parametrize(
    ("is_configured", "sent", "wants"),
    [
        (True, {"wants_mail": "on"}, True),
        (True, {}, False),
        (False, {"wants_mail": "on"}, False),
    ],
)
def test_the_wish_for_mail_is_stored_with_the_collection(
    client: Client, owner: Any, settings: LazySettings,
    is_configured: bool, sent: dict[str, str], wants: bool,
) -> None:  # fmt: skip
    settings.EMAIL_IS_CONFIGURED = is_configured
    fields = {"title": "x", "expected_images": 2, "filters": "", **sent}
    response = client.post("/collections/new/", fields, follow=True)
    assert Collection.objects.get().wants_mail is wants
    assert ("you will get a mail" in response.content.decode()) is wants


def test_the_sign_up_page_says_what_the_address_is_for(settings: LazySettings) -> None:
    settings.EMAIL_IS_CONFIGURED = True
    html = Client().get("/accounts/signup/").content.decode()
    assert "to tell you that a collection is ready when you ask for it" in html
