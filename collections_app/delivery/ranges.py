"""Which bytes of one file a request wants, and under what conditions (RFC 9110, 13 and 14).

Django-free. A header comes from anywhere: what cannot be understood is treated as if it were not
there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus

# Twenty digits are more than any file has bytes, and fewer than Python refuses to read.
_RANGE = re.compile(r"bytes=\s*([0-9]{0,20})\s*-\s*([0-9]{0,20})\s*", re.IGNORECASE)
_TAG = re.compile(r'(W/)?("[^"]*")')


class NotSatisfiable(Exception):
    """The range lies outside the file: 416."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes ``start`` to ``stop``, the latter not included."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Version:
    """What tells these bytes from others: a strong ETag with its quotes, and Last-Modified.

    The latter in whole seconds since 1970. It says nothing about which version is the newer one.
    """

    etag: str
    modified: int


def check_conditions(headers: Mapping[str, str], version: Version) -> HTTPStatus:
    """OK to answer, NOT_MODIFIED or PRECONDITION_FAILED, for GET and HEAD.

    If-Modified-Since counts only with the very date, as in nginx: the archive that comes after
    another one may bear an earlier date.
    """
    if _has_changed(headers, version):
        return HTTPStatus.PRECONDITION_FAILED
    if (known := headers.get("If-None-Match")) is not None:
        is_known = _names(known, version.etag, weakly=True)
    else:
        is_known = _read_date(headers.get("If-Modified-Since", "")) == version.modified
    return HTTPStatus.NOT_MODIFIED if is_known else HTTPStatus.OK


def _has_changed(headers: Mapping[str, str], version: Version) -> bool:
    if (wanted := headers.get("If-Match")) is not None:
        return not _names(wanted, version.etag, weakly=False)
    date = _read_date(headers.get("If-Unmodified-Since", ""))
    return date is not None and date < version.modified


def choose_part(headers: Mapping[str, str], version: Version, size: int) -> ByteRange | None:
    """The part of a file of ``size`` bytes that a GET wants; None where the whole is right.

    A part of another version (If-Range) is not what the client can use: it gets the whole.

    Raises:
        NotSatisfiable: the range begins behind the last byte.
    """
    if (condition := headers.get("If-Range")) is not None and not _is_of(condition, version):
        return None
    return parse_range(headers.get("Range", ""), size)


def parse_range(header: str, size: int) -> ByteRange | None:
    """The one range that is asked for; None where the whole file is the right answer.

    Several ranges, other units and malformed headers are answered with the whole file, as
    RFC 9110 allows.

    Raises:
        NotSatisfiable: the range begins behind the last byte.
    """
    match = _RANGE.fullmatch(header.strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return _suffix(int(last), size)
    start, stop = int(first), min(int(last) + 1 if last else size, size)
    if last and int(last) < start:
        return None
    if start >= size:
        raise NotSatisfiable
    return ByteRange(start, stop)


def _suffix(length: int, size: int) -> ByteRange:
    if not length or not size:
        raise NotSatisfiable
    return ByteRange(max(0, size - length), size)


def _is_of(condition: str, version: Version) -> bool:
    """Whether an If-Range is this version's ETag, not a weak one, or its very date."""
    text = condition.strip()
    return text == version.etag or _read_date(text) == version.modified


def _names(header: str, etag: str, *, weakly: bool) -> bool:
    if header.strip() == "*":
        return True
    return any(tag == etag and (weakly or not weak) for weak, tag in _TAG.findall(header))


def _read_date(text: str) -> int | None:
    """Seconds since 1970; None if it is no date."""
    parts = parsedate_tz(text)
    if parts is None:
        return None
    try:
        return int(mktime_tz(parts))
    except (ValueError, OverflowError):
        return None
