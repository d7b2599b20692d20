"""Range and conditional requests for one file (RFC 9110, sections 13 and 14).

Django-free. A header that cannot be parsed is ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus

# Twenty digits are enough for any file size, and below Python's limit for parsing numbers.
_RANGE = re.compile(r"bytes=\s*+([0-9]{0,20})\s*+-\s*+([0-9]{0,20})\s*+", re.IGNORECASE)
_TAG = re.compile(r'(W/)?("[^"]*")')


class NotSatisfiable(Exception):
    """The range lies outside the file (status 416)."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes ``start`` to ``stop``, without ``stop`` itself."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Version:
    """Identifies the bytes of a file: a strong ETag with its quotes, and Last-Modified.

    ``modified`` is in whole seconds since 1970. A newer version may have an earlier date.
    """

    etag: str
    modified: int


def check_conditions(headers: Mapping[str, str], version: Version) -> HTTPStatus:
    """OK, NOT_MODIFIED or PRECONDITION_FAILED, for GET and HEAD.

    If-Modified-Since must be the exact date, as in nginx, because a newer archive may have an
    earlier date.
    """
    if _has_changed(headers, version):
        return HTTPStatus.PRECONDITION_FAILED
    if (known := headers.get("If-None-Match")) is not None:
        is_known = _lists_etag(known, version.etag, weakly=True)
    else:
        is_known = _read_date(headers.get("If-Modified-Since", "")) == version.modified
    return HTTPStatus.NOT_MODIFIED if is_known else HTTPStatus.OK


def _has_changed(headers: Mapping[str, str], version: Version) -> bool:
    if (wanted := headers.get("If-Match")) is not None:
        return not _lists_etag(wanted, version.etag, weakly=False)
    date = _read_date(headers.get("If-Unmodified-Since", ""))
    return date is not None and date < version.modified


def choose_part(headers: Mapping[str, str], version: Version, size: int) -> ByteRange | None:
    """The requested part of a file of ``size`` bytes; None if the whole file is to be sent.

    If If-Range names another version, the client cannot use a part and gets the whole file.

    Raises:
        NotSatisfiable: the range begins after the last byte.
    """
    if (condition := headers.get("If-Range")) is not None and not _matches(condition, version):
        return None
    return parse_range(headers.get("Range", ""), size)


def parse_range(header: str, size: int) -> ByteRange | None:
    """The requested range; None if the whole file is to be sent.

    Several ranges, other units and malformed headers are answered with the whole file, as
    RFC 9110 allows.

    Raises:
        NotSatisfiable: the range begins after the last byte.
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


def _matches(condition: str, version: Version) -> bool:
    """Whether an If-Range has this version's ETag (a strong one) or its exact date."""
    text = condition.strip()
    return text == version.etag or _read_date(text) == version.modified


def _lists_etag(header: str, etag: str, *, weakly: bool) -> bool:
    if header.strip() == "*":
        return True
    return any(tag == etag and (weakly or not weak) for weak, tag in _TAG.findall(header))


def _read_date(text: str) -> int | None:
    """Seconds since 1970; None if the text is not a date."""
    parts = parsedate_tz(text)
    if parts is None:
        return None
    try:
        return int(mktime_tz(parts))
    except (ValueError, OverflowError):
        return None
