"""Programs that tests hold our work against: found on PATH, else installed on Debian as root."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

INSTALL_SECONDS = 600.0
# Where Debian has them. Whoever misses one installs all that are missing: lists are fetched once.
PACKAGES = {
    "7z": ["p7zip-full"],
    "bsdtar": ["libarchive-tools"],
    "chromium": ["chromium", "fonts-liberation"],
    "curl": ["curl"],
    "faketime": ["faketime"],
    "nginx": ["nginx-light"],
    "unzip": ["unzip"],
    "wget": ["wget"],
}
# An ordinary user's PATH often leaves the folders for servers out.
SERVER_FOLDERS = ("/usr/local/sbin", "/usr/sbin")


class ProgramUnavailableError(Exception):
    """The program is not there and cannot be had; the message says why."""


@cache
def find_program(name: str) -> str:
    """The path of a program of PACKAGES. Raises ProgramUnavailableError."""
    if not _which(name):
        _install_with_others(name)
    found = _which(name)
    if not found:
        raise ProgramUnavailableError(f"{name} is still not on PATH after its installation")
    return found


def require_program(name: str) -> str:
    """As `find_program`; the test is skipped, with the reason, where it cannot be had."""
    try:
        return find_program(name)
    except ProgramUnavailableError as error:
        pytest.skip(str(error))


def _which(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *SERVER_FOLDERS]))


def _install_with_others(name: str) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ProgramUnavailableError(
            f"{name} is not on PATH, and only root on Debian or Ubuntu can have it installed here"
        )
    # Parallel test processes come here at the same time, and apt-get would refuse the second.
    with Path(tempfile.gettempdir(), "medagg-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [program for program in PACKAGES if not _which(program)]
        if name in missing:
            packages = [package for program in missing for package in PACKAGES[program]]
            _apt_get("update", "--quiet")
            _apt_get("install", "--quiet", "--yes", "--no-install-recommends", *packages)


def _apt_get(*arguments: str) -> None:
    # In runlevel 1 Debian starts no service when it installs one: port 80 is not ours to take.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        subprocess.run(
            ["apt-get", *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramUnavailableError(f"apt-get {arguments[0]} took too long") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ProgramUnavailableError(f"apt-get {arguments[0]} failed: {reason}") from error
