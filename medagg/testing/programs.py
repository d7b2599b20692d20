"""Programs that tests hold our work against: found on PATH, else installed on Debian as root."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

INSTALL = Path(__file__).with_name("install_programs.sh")
INSTALL_SECONDS = 600.0
# An ordinary user's PATH often leaves the folders for servers out.
SERVER_FOLDERS = ("/usr/local/sbin", "/usr/sbin")


class ProgramUnavailableError(Exception):
    """The program is not there and cannot be had; the message says why."""


@cache
def find_program(name: str) -> str:
    """The path of a program that INSTALL knows. Raises ProgramUnavailableError."""
    if not _which(name):
        _install(name)
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


def _install(name: str) -> None:
    try:
        subprocess.run(
            [INSTALL], check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramUnavailableError(f"{name} is not on PATH: {error}") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ProgramUnavailableError(f"{name} is not on PATH: {reason}") from error
