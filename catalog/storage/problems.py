"""Why bytes cannot be had from where they lie; and what a source lists."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from catalog.storage.addresses import is_of_idc
from catalog.wording.formats import count_of


class SourceProblem(Exception):
    """Bytes cannot be had from where they lie; the message says why, for users.

    ``is_lasting`` if trying again later will not help by itself; ``may_pass_soon`` if it may help
    within seconds.
    """

    is_lasting = True
    may_pass_soon = False


class NotAllowed(SourceProblem):
    """The operator has not allowed this place, or medagg does not know how to ask it."""


class Gone(SourceProblem):
    """There is nothing at the address any more."""


class Forbidden(SourceProblem):
    """The place does not give it out."""


class Changed(SourceProblem):
    """It is not what was listed, or not what was frozen."""


class Unreachable(SourceProblem):
    """No connection, or none that lasts."""

    is_lasting = False
    may_pass_soon = True


_LIMITS = (60, 600, 3600)
# Characters of a name or a tag that are kept of a file that was fetched.
_MOST_KEPT = 200


@dataclass(frozen=True, slots=True)
class ListedFile:
    """An object: its ``name`` within the series, its size in bytes, and its MD5 where the ETag
    looks like one: the answer for the object itself tells whether it is.

    ``tag`` is what the source tells states of it apart by (ETag), if it does. Of a folder's files
    ``prefix`` is one text that they share, and ``key`` is the name: thousands are in memory.
    """

    name: str
    key: str
    size: int
    md5: str
    tag: str = ""
    prefix: str = ""

    @property
    def whole_key(self) -> str:
        """What the source knows it by."""
        return self.prefix + self.key

    def find_seconds(self, most: int) -> int:
        """How long its transfer may take: as its bytes need at the lowest rate that is allowed.

        Rounded up to one of few values, as a connection has one. A source that sends headers or
        bytes one by one is cut off then.
        """
        needed = settings.FETCH_STALL_SECONDS + self.size / max(1, settings.FETCH_MIN_RATE)
        return min(most, next((each for each in _LIMITS if each >= needed), most))


def read_number(address: str, told: str | None) -> int:
    """How many files the catalog says that a series has; 0 where it says nothing that is one.

    ``told`` are the "instances" of the IDC's index; in tables of others they may be anything.
    """
    if not told or not is_of_idc(address):
        return 0
    return int(told) if told.isascii() and told.isdecimal() and len(told) < 10 else 0


def require_bytes(listed: Iterable[ListedFile]) -> None:
    """Raises Changed where a file of a series is empty, as where a copy of it was interrupted."""
    if empty := next((file.name for file in listed if not file.size), ""):
        raise Changed(f"the source lists {empty!r} as an empty file")


def require_number(num_listed: int, num_known: int) -> None:
    """Raises Changed where the catalog knows how many files a series has, as 0 if it does not."""
    if num_known and num_listed != num_known:
        raise Changed(
            f"the source lists {count_of(num_listed, 'file')}, and the catalog knows "
            f"{num_known:,}: it is not complete, or has changed"
        )


def shorten_name(name: str) -> str:
    """The end of an object's own name, of characters that can be shown and stored."""
    return "".join(filter(str.isprintable, name))[-_MOST_KEPT:]


def read_tag(told: str) -> str:
    """What a source tells states of a file apart by; empty if that cannot be kept as it is."""
    return told if len(told) <= _MOST_KEPT and told.isprintable() else ""
