"""Chromium for the tests marked `browser`: found on this machine, else installed once a run."""

import fcntl
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from playwright.sync_api import sync_playwright

from medagg.testing.programs import INSTALL_SECONDS, ProgramUnavailableError, find_program

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Chromium:
    """The program's path, or the reason why there is none."""

    path: str = ""
    reason: str = ""


def find_chromium(base: Path) -> Chromium:
    """Looks for Chromium, and installs it if need be: once, whoever of a parallel run asks first.

    `base` is the folder of the run, where the answer is kept.
    """
    answer = base / "chromium.json"
    with (base / "chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if answer.exists():
            return Chromium(**json.loads(answer.read_text(encoding="utf-8")))
        chromium = _find_or_install()
        answer.write_text(json.dumps(asdict(chromium)), encoding="utf-8")
        return chromium


def _find_or_install() -> Chromium:
    path = _find_on_path() or _playwrights_own()
    if path:
        return Chromium(path=path)
    trouble = _install()
    path = _find_on_path() or _playwrights_own()
    return Chromium(path=path, reason="" if path else f"no Chromium, and none to be had: {trouble}")


def _find_on_path() -> str:
    candidates = (shutil.which(name) for name in NAMES)
    return next((path for path in candidates if path and _runs(path)), "")


def _playwrights_own() -> str:
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() and _runs(path) else ""


def _runs(path: str) -> bool:
    """Whether it starts at all: some distributions put a stub there that only names a package."""
    try:
        return _run([path, "--version"], seconds=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _install() -> str:
    """Tries the system's package, then Playwright's Chromium; returns what failed."""
    try:
        find_program("chromium")
    except ProgramUnavailableError as error:
        command = [sys.executable, "-m", "playwright", "install", "chromium"]
        try:
            result = _run(command, seconds=INSTALL_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as other:
            return f"{error}; {other}"
        return f"{error}; {(result.stderr or result.stdout).strip()[-300:]}"
    return "the installed one does not start"


def _run(command: list[str], *, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
