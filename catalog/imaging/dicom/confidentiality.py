"""The Basic Application Level Confidentiality Profile, DICOM PS3.15 annex E: what to do with a tag.

`basic_profile.txt` has the actions of table E.1-1. Where an action leaves a choice by the type of
an attribute in its IOD, the one is taken that is valid for each type: X/Z empties, and X/D, Z/D and
X/Z/D give a dummy value.
"""

from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from importlib.metadata import version
from pathlib import Path

# Raise it with every change after which the same file gives other bytes. pydicom writes the file.
METHOD_VERSION = f"5, pydicom {version('pydicom')}"
EDITION = "PS3.15 2026c"
PROFILE = f"DICOM {EDITION}, Basic Application Level Confidentiality Profile"
CODE = ("113100", "DCM", "Basic Application Confidentiality Profile")
_TABLE = Path(__file__).with_name("basic_profile.txt")


class Action(StrEnum):
    """What happens to an element."""

    REMOVE = "X"
    EMPTY = "Z"
    REPLACE = "D"
    MAP_UID = "U"
    KEEP_ITEMS = "X/Z/U*"


_CHOSEN = {
    "X/Z": Action.EMPTY,
    "X/D": Action.REPLACE,
    "Z/D": Action.REPLACE,
    "X/Z/D": Action.REPLACE,
}


def find_action(tag: int) -> Action | None:
    """The action for a tag of the standard; None if the profile keeps the element."""
    exact, patterns = _load()
    if tag in exact:
        return exact[tag]
    return next((action for value, mask, action in patterns if tag & mask == value), None)


def iter_rows() -> Iterator[tuple[str, str]]:
    """(tag as eight hex digits, action as in the table)."""
    for line in _TABLE.read_text("ascii").splitlines():
        if not line.startswith("#"):
            tag, action, *_ = line.split()
            yield tag, action


@cache
def _load() -> tuple[dict[int, Action], list[tuple[int, int, Action]]]:
    exact, patterns = {}, []
    for tag, text in iter_rows():
        action = _CHOSEN.get(text) or Action(text)
        if "x" in tag:
            mask = int("".join("0" if digit == "x" else "F" for digit in tag), 16)
            patterns.append((int(tag.replace("x", "0"), 16), mask, action))
        else:
            exact[int(tag, 16)] = action
    return exact, patterns
