"""Mail servers for tests: one that takes mails, and one that accepts and says nothing."""

import contextlib
import email
import email.policy
import re
import socket
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.came = threading.Condition()
        self.answer = "250 taken"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content: Any = envelope.content
        if not self.answer.startswith("250"):
            return self.answer
        with self.came:
            self.mails.append(email.message_from_bytes(content, policy=email.policy.default))
            self.came.notify_all()
        return self.answer

    def wait_for(self, number: int, seconds: float = 20) -> list[EmailMessage]:
        with self.came:
            assert self.came.wait_for(lambda: len(self.mails) >= number, seconds), self.mails
        return self.mails


@contextlib.contextmanager
def mail_server() -> Iterator[tuple[int, Mailbox]]:
    """Its port on 127.0.0.1, and what it took."""
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port, box
    finally:
        controller.stop()


@contextlib.contextmanager
def silent_server(port: int = 0) -> Iterator[socket.socket]:
    """The kernel accepts connections; nobody ever answers."""
    with socket.create_server(("127.0.0.1", port), backlog=50) as listener:
        yield listener


def link_in(text: str, start: str) -> str:
    """The path of the only link in a mail, which begins with ``start``."""
    (path,) = re.findall(rf"{re.escape(start)}(/\S+)", text)
    return str(path)
