"""Mails about accounts by a real worker: no page waits for a mail server, or tells who is known."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from medagg.runner.embedded import database_url
from medagg.testing.environment import BASE_VARIABLE
from medagg.testing.worker import WorkerProcess
from medagg.tests.mailbox import link_in, mail_server, silent_server

SITE = "https://medagg.example.org"
GOOD = {"username": "eve", "password1": "a-Long-pass-9", "password2": "a-Long-pass-9"}


def reset(client: Client, address: str) -> tuple[int, str, float]:
    begin = time.monotonic()
    response = client.post("/accounts/password_reset/", {"email": address})
    return response.status_code, response.headers.get("Location", ""), time.monotonic() - begin


def test_a_silent_mail_server_holds_up_no_page_and_tells_nobody_who_has_an_account(
    client: Client, celery_worker_process: WorkerProcess
) -> None:
    User.objects.create_user("ada", "ada@example.org", "a-Long-pass-9")
    with silent_server() as silent:
        url = f"smtp://127.0.0.1:{silent.getsockname()[1]}"
        celery_worker_process.restart(EMAIL_URL=url)
        known = reset(client, "ada@example.org")
        unknown = reset(client, "nobody@example.org")
        assert known[:2] == unknown[:2] == (302, "/accounts/password_reset/done/")
        assert max(known[2], unknown[2]) < 1
        # The worker did try: the connection is there.
        silent.settimeout(20)
        silent.accept()[0].close()


def test_signing_up_and_resetting_send_links_to_the_site_of_the_settings(
    client: Client, celery_worker_process: WorkerProcess
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with mail_server(port) as box:
        celery_worker_process.restart(EMAIL_URL=f"smtp://127.0.0.1:{port}", SITE_URL=SITE)
        client.post(
            "/accounts/signup/", {**GOOD, "email": "Eve@example.org"}, HTTP_HOST="localhost"
        )
        (confirm,) = box.wait_for(1)
        assert confirm["Subject"] == "Confirm your address at medagg"
        client.post(link_in(confirm.get_content(), SITE))
        assert User.objects.get().email == "Eve@example.org"
        reset(client, "eve@EXAMPLE.org")
        mail = box.wait_for(2)[1]
    assert mail["To"] == "Eve@example.org"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert client.get(link_in(mail.get_content(), SITE), follow=True).status_code == 200


WITHOUT_BROKER = """
import time, django
django.setup()
from django.test import Client
for path, data in (
    ("password_reset/", {"email": "ada@example.org"}),
    ("password_reset/", {"email": "nobody@example.org"}),
    ("signup/", {"email": "eve@example.org", "username": "eve", **PASSWORDS}),
):
    begin = time.monotonic()
    page = Client(HTTP_HOST="localhost").post(f"/accounts/{path}", data, follow=True)
    seconds = time.monotonic() - begin
    print(page.status_code, "could not be sent" in page.content.decode(), seconds < 5)
"""


def test_without_a_broker_pages_answer_and_say_that_no_mail_comes(transactional_db: None) -> None:
    User.objects.create_user("ada", "ada@example.org", "a-Long-pass-9")
    base = Path(os.environ[BASE_VARIABLE])
    environment = {
        "DATABASE_URL": database_url(base, connection.settings_dict["NAME"]),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DJANGO_SETTINGS_MODULE": "medagg.settings",
        # Static files have not been collected.
        "DEBUG": "1",
    }
    passwords = {name: GOOD[name] for name in ("password1", "password2")}
    done = subprocess.run(
        [sys.executable, "-c", f"PASSWORDS = {passwords}{WITHOUT_BROKER}"],
        cwd=settings.BASE_DIR,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["503 True True", "503 True True", "200 True True"], done
    assert User.objects.filter(username="eve").exists()
