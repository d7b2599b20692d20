"""`manage.py up`, run for real: what it serves, what it says, and that it leaves nothing behind."""

import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import pytest
from django.core.management import CommandError, call_command

from medagg.runner.embedded import EmbeddedServers, database_url, redis_url
from medagg.runner.embedded.launch import launch_command, launch_environment
from medagg.runner.embedded.logs import LARGEST_BYTES
from medagg.runner.embedded.places import places_in
from medagg.testing.once import copy_migrated_postgres
from medagg.tests.processes import (
    NOBODY,
    REPOSITORY,
    bare_environment,
    find_by_command,
    linux_only,
    root_only,
    run_manage,
    wait_until,
)
from medagg.tests.site import Site

pytestmark = [linux_only, pytest.mark.waits]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A short path with spaces, open to other accounts."""
    with TemporaryDirectory(prefix="medagg up ") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def site(home: Path) -> Iterator[Site]:
    """A running site, started once for all tests that only look at it."""
    site = Site(home / "var", "--port", "0", SECRET_KEY="")
    try:
        yield site.await_ready()
    finally:
        code = site.send(signal.SIGINT)
    assert_has_stopped_in_good_order(site, code)


@pytest.fixture
def make_site(home: Path) -> Iterator[Callable[..., Site]]:
    """Starts sites that a test may break. They share one folder, one after the other.

    One process for pages and one for builds are enough here, and start faster.
    """
    made: list[Site] = []
    if not (home / "broken").exists():
        copy_migrated_postgres(home / "broken")

    def make(*arguments: str, **environment: str) -> Site:
        made.append(
            Site(home / "broken", "--port", "0", "--workers", "1", *arguments, **environment)
        )
        return made[-1]

    yield make
    for site in made:
        if site.process.poll() is None:
            site.send(signal.SIGKILL)
    wait_until(
        lambda: not any(site.has_left_processes() for site in made), what="the processes to follow"
    )


def test_all_parts_are_ready_when_it_says_so(site: Site) -> None:
    status, text = site.get("readyz/")

    assert status == 200
    assert '"broken": []' in text


def test_what_nobody_waits_for_gives_way_to_pages(site: Site) -> None:
    nice = {
        queue: os.getpriority(os.PRIO_PROCESS, find_by_command(f"--queues {queue}", site.started))
        for queue in ("default", "verify", "builds")
    }
    assert nice["default"] < nice["verify"] == nice["builds"]


def test_it_prints_the_url_and_a_login_that_works(site: Site) -> None:
    password = (site.var / "admin-password").read_text().strip()

    assert f"Site   {site.url}" in site.out
    # What it prints goes to a file here, where the password would stay.
    assert f"admin, with the password in {site.var / 'admin-password'}" in site.out
    assert password not in site.out + site.err
    assert "Log out" in site.sign_in("admin", password)
    assert "Log out" not in site.sign_in("admin", "wrong")


def test_links_in_mails_lead_to_it(site: Site) -> None:
    password = "a-Long-pass-9"
    form = {"username": "ada", "email": "ada@example.org"}
    site.sign_up(**form, password1=password, password2=password)
    mails = site.var / "mail"
    wait_until(
        lambda: any(f"{site.url}accounts/confirm/" in mail.read_text() for mail in mails.glob("*")),
        what="a mail with a link to the site",
    )


def test_the_password_is_for_the_owner_only_and_in_no_log(site: Site) -> None:
    file = site.var / "admin-password"
    password = file.read_bytes().strip()

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not [log for log in (site.var / "log").iterdir() if password in log.read_bytes()]


def test_a_large_log_is_rotated_while_its_program_goes_on_writing(site: Site) -> None:
    log = site.var / "log" / "postgres.log"
    with log.open("ab") as file:
        file.write(b"x" * LARGEST_BYTES + b"\n")
    wait_until(lambda: log.stat().st_size < LARGEST_BYTES, what="the rotation")
    assert (site.var / "log" / "postgres.log.1").stat().st_size > LARGEST_BYTES

    with (
        pytest.raises(psycopg2.OperationalError),
        closing(
            psycopg2.connect(
                host=str(places_in(site.var).postgres_sockets), user="stranger", dbname="medagg"
            )
        ),
    ):
        pass
    wait_until(lambda: "stranger" in log.read_text(), what="PostgreSQL's next line")


def test_static_files_are_served_compressed_and_for_long(site: Site) -> None:
    _, page = site.get("admin/login/")
    path = page.partition('href="/static/')[2].partition('"')[0]

    status, text = site.get(f"static/{path}")

    assert status == 200
    assert text


def test_it_listens_where_it_was_told_and_nowhere_else(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=5):
        pass
    with socket.socket() as probe:
        # Free on another address of this machine, so it is not taken on all.
        probe.bind(("127.0.0.2", site.port))


def test_a_second_one_in_the_same_folder_says_where_the_first_is(site: Site) -> None:
    result = run_manage(site.var, "up", "--port", "0")

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"medagg: medagg already runs here at {site.url} (process {site.process.pid})\n"
    )


def test_a_taken_port_is_one_clear_line(site: Site, home: Path) -> None:
    result = run_manage(home / "other", "up", "--port", str(site.port))

    assert result.returncode == 1
    assert result.stderr == (
        f"medagg: port {site.port} is taken by another program: "
        f"try `make run PORT={site.port + 1}`\n"
    )
    assert not (home / "other" / "postgres").exists()


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(CommandError, match="is not a port"):
        call_command("up", f"--port={port}")


def test_commands_use_the_running_servers_and_leave_them_running(site: Site) -> None:
    statement = (
        "from django.contrib.auth.models import User; print(User.objects.earliest('pk').username)"
    )

    result = run_manage(site.var, "shell", "-v", "0", "-c", statement)

    assert result.stdout.strip() == "admin"
    assert site.get("readyz/")[0] == 200


def assert_has_stopped_in_good_order(site: Site, code: int) -> None:
    assert code == 0
    assert not site.has_left_processes()
    assert site.out.endswith("Stopped. What you have done is kept.\n")
    assert site.err == ""


def cookie_name(site: Site) -> str:
    url = f"http://127.0.0.1:{site.port}/accounts/login/"
    with urllib.request.urlopen(url) as answer:
        return answer.headers["Set-Cookie"].split("=")[0]


def test_a_second_start_beside_another_folder_loads_nothing_again_and_keeps_the_password(
    site: Site, make_site: Callable[..., Site]
) -> None:
    """Even if the first one was killed, of which nothing stays behind."""
    first = make_site().await_ready()
    assert_run_side_by_side(first, site)
    password = (first.var / "admin-password").read_text()
    first.send(signal.SIGKILL)
    wait_until(lambda: not first.has_left_processes(), what="the processes to follow")

    second = make_site().await_ready()

    assert second.get("readyz/")[0] == 200
    assert "Loading the vocabularies" not in second.out
    assert "Collecting the static files" not in second.out
    assert "with the password in" in second.out
    assert (second.var / "admin-password").read_text() == password
    assert_the_death_of_a_server_ends_all_and_names_it(second)
    assert site.get("healthz/")[0] == 200


def assert_run_side_by_side(one: Site, other: Site) -> None:
    assert other.port != one.port
    assert other.get("healthz/")[0] == one.get("healthz/")[0] == 200
    assert cookie_name(other) != cookie_name(one), "one would sign out of the other"


def assert_the_death_of_a_server_ends_all_and_names_it(site: Site) -> None:
    os.kill(find_by_command("valkey-server", site.started), signal.SIGKILL)

    assert site.await_end() == 1
    assert not site.has_left_processes()
    assert site.err.startswith("medagg: Redis has ended.\n")


def test_a_signal_during_the_start_stops_everything(make_site: Callable[..., Site]) -> None:
    site = make_site()
    wait_until(lambda: "Bringing the database" in site.out, what="the migrations")

    assert site.send(signal.SIGTERM) == 0

    assert not site.has_left_processes()
    assert "Stopped." in site.out
    assert site.err == ""


def test_a_database_that_cannot_be_reached_is_one_clear_line(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(DATABASE_URL="postgres://nobody@127.0.0.1:1/nothing")

    assert site.await_end() == 1
    assert not site.has_left_processes()
    assert site.err.startswith("medagg: the database refuses: connection to server")
    assert site.err.count("\n") == 1
    assert "PostgreSQL" not in site.out


def test_configured_servers_are_used_and_the_end_of_the_web_ends_all_and_is_named(
    site: Site, make_site: Callable[..., Site]
) -> None:
    """The other site's servers stand in for real ones; test_supervisor has any process' death."""
    other = make_site(DATABASE_URL=database_url(site.var), REDIS_URL=redis_url(site.var, 7))

    assert other.await_ready().get("readyz/")[0] == 200
    assert "Starting PostgreSQL" not in other.out
    assert not [s for s in EmbeddedServers(other.var).servers if s.is_running()]
    assert "with the password that you chose" in other.out

    os.kill(find_by_command("gunicorn", other.started), signal.SIGKILL)

    assert other.await_end() == 1
    assert not other.has_left_processes()
    assert other.err.startswith("medagg: web has ended by itself (killed by SIGKILL).\n")
    assert str(other.var / "log" / "web.log") in other.err
    assert "Traceback" not in other.err
    assert site.get("readyz/")[0] == 200


@root_only
def test_a_read_only_folder_is_one_clear_line(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o555)

    result = run_manage_as_nobody(closed / "var")

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("medagg: cannot")
    assert str(closed / "var") in result.stderr


def run_manage_as_nobody(var: Path) -> "subprocess.CompletedProcess[str]":
    command = launch_command(
        [sys.executable, REPOSITORY / "manage.py", "up", "--port", "0"],
        parent_death_signal=signal.SIGKILL,
        account=NOBODY,
        reach=[Path(sys.executable), REPOSITORY],
    )
    return subprocess.run(
        command,
        env=launch_environment(bare_environment(var)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
