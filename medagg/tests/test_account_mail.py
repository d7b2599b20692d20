"""Mails about accounts by a real worker: no page waits for a mail server, or tells who is known."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.conf import settings as site_settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from medagg.accounts.mail import send_password_reset
from medagg.runner.embedded import database_url
from medagg.tasks import clear_sessions_task
from medagg.testing.environment import BASE_VARIABLE
from medagg.testing.worker import WorkerProcess
from medagg.tests.mailbox import link_in, mail_server, silent_server

SITE = "https://medagg.example.org"
GOOD = {"username": "eve", "password1": "a-Long-pass-9", "password2": "a-Long-pass-9"}


def reset(client: Client, address: str) -> tuple[int, str, float]:
    begin = time.monotonic()
    response = client.post("/accounts/password_reset/", {"email": address})
    return response.status_code, response.headers.get("Location", ""), time.monotonic() - begin


@pytest.mark.waits
def test_mails_go_to_confirmed_addresses_and_a_silent_server_holds_up_no_page(
    client: Client, transactional_db: None, celery_worker_module: WorkerProcess
) -> None:
    with mail_server() as (port, box):
        mail_url = f"smtp://127.0.0.1:{port}"
        celery_worker_module.start(EMAIL_URL=mail_url, SITE_URL=SITE, LOG_LEVEL="DEBUG")
        data = {**GOOD, "email": "Eve@example.org"}
        client.post("/accounts/signup/", data, HTTP_HOST="localhost")
        (confirm,) = box.wait_for(1)
        assert confirm["Subject"] == "Confirm your address at medagg"
        client.post(link_in(confirm.get_content(), SITE))
        assert User.objects.get().email == "Eve@example.org"
        reset(client, "eve@EXAMPLE.org")
        mail = box.wait_for(2)[1]
        assert mail["To"] == "Eve@example.org"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert client.get(link_in(mail.get_content(), SITE), follow=True).status_code == 200
    with silent_server(port) as silent:
        known = reset(client, "eve@example.org")
        unknown = reset(client, "nobody@example.org")
        assert known[:2] == unknown[:2] == (302, "/accounts/password_reset/done/")
        assert max(known[2], unknown[2]) < 1
        # The worker did try: the connection is there.
        silent.settimeout(20)
        silent.accept()[0].close()
    log = celery_worker_module.log
    assert "send_password_reset_task" in log
    assert "example.org" not in log.replace(SITE, "").lower()


@pytest.mark.parametrize("may_work_later", [True, False])
def test_no_log_has_the_address_of_a_mail_that_its_server_refuses_with_it(
    db: None, settings: LazySettings, caplog: pytest.LogCaptureFixture, may_work_later: bool
) -> None:
    address = "ada@example.org"
    User.objects.create_user("ada", address, "a-Long-pass-9")
    with mail_server() as (port, box):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        code = 451 if may_work_later else 550
        box.answer = f"{code} <{address}>: message rejected as spam"
        if may_work_later:
            with pytest.raises(OSError, match=r"\[451\]") as raised:
                send_password_reset(address=address)
            logging.getLogger("medagg").error("as Celery logs it", exc_info=raised.value)
        else:
            send_password_reset(address=address)
    # The server of this test logs as well.
    ours = [each for each in caplog.records if each.name.startswith("medagg")]
    log = "\n".join(map(caplog.handler.format, ours))
    assert str(code) in log
    assert address not in log


def test_a_silent_server_takes_the_time_of_one_mail(db: None, settings: LazySettings) -> None:
    """Sweeps wait for the same worker."""
    for name in ("ada", "eve", "kim"):
        User.objects.create_user(name, f"{name}@example.org", "a-Long-pass-9")
    with silent_server() as silent:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = silent.getsockname()
        settings.EMAIL_TIMEOUT = 1
        begin = time.monotonic()
        for name in ("ada", "eve", "kim"):
            with pytest.raises(OSError, match=r"timed out|did not answer just now"):
                send_password_reset(address=f"{name}@example.org")
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize("is_configured", [False, True])
def test_mails_in_files_go_when_their_links_are_over(
    db: None, settings: LazySettings, tmp_path: Path, is_configured: bool
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    # Of EMAIL_URL=filemail:///… the folder is the operator's own.
    settings.EMAIL_IS_CONFIGURED = is_configured
    User.objects.create_user("ada", "ada@example.org", "a-Long-pass-9")
    for age in (2.9, 3.1):
        before = set(tmp_path.iterdir())
        send_password_reset(address="ada@example.org")
        (mail,) = set(tmp_path.iterdir()) - before
        # Its name is that of this second.
        mail = mail.rename(tmp_path / f"{age}.log")
        written_at = time.time() - age * 86_400
        os.utime(mail, (written_at, written_at))
    clear_sessions_task()
    assert len(list(tmp_path.iterdir())) == (2 if is_configured else 1)


WITHOUT_BROKER = """
import django
django.setup()
from django.test import Client
for path, data in FORMS:
    page = Client(HTTP_HOST="localhost").post(f"/accounts/{path}", data, follow=True)
    print(page.status_code, "could not be sent" in page.content.decode())
"""
KNOWN = ("password_reset/", {"email": "ada@example.org"})
UNKNOWN = ("password_reset/", {"email": "nobody@example.org"})
SIGN_UP = ("signup/", {**GOOD, "email": "eve@example.org"})


def test_without_a_broker_pages_answer_and_say_that_no_mail_comes(transactional_db: None) -> None:
    User.objects.create_user("ada", "ada@example.org", "a-Long-pass-9")
    answers = post_without_broker([KNOWN, UNKNOWN, SIGN_UP], port=1)
    assert answers == ["503 True", "503 True", "200 True"]
    assert User.objects.filter(username="eve").exists()


@pytest.mark.waits
def test_a_silent_broker_holds_up_a_page_for_seconds_only(transactional_db: None) -> None:
    with silent_server() as silent:
        # Of many requests one waits for it, and the others are answered at once.
        forms = [KNOWN] * 12
        assert post_without_broker(forms, port=silent.getsockname()[1]) == ["503 True"] * 12


def post_without_broker(forms: list[tuple[str, dict[str, str]]], *, port: int) -> list[str]:
    """The answers to forms of a process of its own, whose broker is to be at this port."""
    base = Path(os.environ[BASE_VARIABLE])
    environment = {
        "DATABASE_URL": database_url(base, connection.settings_dict["NAME"]),
        "REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "DJANGO_SETTINGS_MODULE": "medagg.settings",
        # Static files have not been collected.
        "DEBUG": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", f"FORMS = {forms}{WITHOUT_BROKER}"],
        cwd=site_settings.BASE_DIR,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=45,
        check=True,
    )
    return done.stdout.splitlines()
