"""`manage.py up` as a real process, for the tests."""

import http.cookiejar
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

from medagg.tests.processes import REPOSITORY, any_alive, bare_environment, find_descendants

START_SECONDS = 120.0
STOP_SECONDS = 60.0


class Site:
    """One `up` with its data in `var`. What it prints is kept in files beside that folder."""

    def __init__(self, var: Path, *arguments: str, **environment: str) -> None:
        self.var = var
        self._files = [var.parent / f"{var.name}.{name}" for name in ("out", "err")]
        command = [sys.executable, str(REPOSITORY / "manage.py"), "up", "--no-demo", *arguments]
        with self._files[0].open("wb") as out, self._files[1].open("wb") as err:
            self.process = subprocess.Popen(
                command,
                env=bare_environment(var, **environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.started: set[int] = set()

    @property
    def out(self) -> str:
        return self._files[0].read_text()

    @property
    def err(self) -> str:
        return self._files[1].read_text()

    @property
    def url(self) -> str:
        """With a slash at its end; known once the site is ready."""
        found = re.search(r"Site +(\S+)", self.out)
        assert found, self.out + self.err
        return found[1]

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def await_ready(self) -> "Site":
        deadline = time.monotonic() + START_SECONDS
        while "Ctrl-C stops everything." not in self.out:
            assert self.process.poll() is None, f"it has ended: {self.out}{self.err}"
            assert time.monotonic() < deadline, f"it is not ready: {self.out}{self.err}"
            time.sleep(0.1)
        self.started = find_descendants(self.process.pid)
        return self

    def send(self, number: int) -> int:
        """Sends a signal to `up` itself and returns its exit code."""
        self.started |= find_descendants(self.process.pid)
        self.process.send_signal(number)
        return self.await_end()

    def await_end(self) -> int:
        return self.process.wait(timeout=STOP_SECONDS)

    def has_left_processes(self) -> bool:
        return any_alive(self.started)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the site."""
        with urllib.request.urlopen(self.url + path, timeout=10) as response:  # noqa: S310
            return response.status, response.read().decode()

    def sign_in(self, name: str, password: str) -> str:
        """The admin's first page, as this user sees it."""
        return self._sign_in(_browser(), name, password)

    def change_address(self, name: str, password: str, address: str) -> str:
        """The account page of this user, who has entered an e-mail address."""
        browser = _browser()
        self._sign_in(browser, name, password)
        return self._fill_in(browser, "accounts/address/", email=address, password=password)

    def _sign_in(self, browser: urllib.request.OpenerDirector, name: str, password: str) -> str:
        path = "admin/login/?next=/admin/"
        return self._fill_in(browser, path, username=name, password=password)

    def _fill_in(self, browser: urllib.request.OpenerDirector, path: str, **fields: str) -> str:
        address = f"{self.url}{path}"
        form = browser.open(address, timeout=10).read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert token, form
        data = urlencode({**fields, "csrfmiddlewaretoken": token[1]}).encode()
        request = urllib.request.Request(address, data=data, headers={"Referer": address})  # noqa: S310
        return browser.open(request, timeout=10).read().decode()


def _browser() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    )
