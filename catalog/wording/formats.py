"""Numbers and sizes as text, on pages and in archives.

Archives are rebuilt byte for byte: whoever changes what comes out here raises CONTENTS_VERSION,
the version of an archive's texts.
"""

from catalog.limits import BYTES_PER_MB

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def number(value: int | None) -> str:
    """12345 as 12,345; None as a dash."""
    return "–" if value is None else f"{value:,}"


def count_of(value: int, noun: str) -> str:
    """A number with its noun, whose plural ends in s: "1 image", "12,345 images"."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def file_size(size: int | None) -> str:
    """Bytes in decimal units, as disks and publishers count: 1500000 as 1.5 MB."""
    if size is None:
        return "–"
    amount = float(size)
    for unit in _UNITS:
        if amount < 1000 or unit == _UNITS[-1]:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:.1f} {unit}"


def size_of_dataset(megabytes: int | None) -> str:
    """The size that a dataset states, or the sum of its files; the smallest is one megabyte."""
    if megabytes == 1:
        return "under 2 MB"
    return file_size(None if megabytes is None else megabytes * BYTES_PER_MB)


def duration(seconds: float) -> str:
    """In the largest sensible unit: "14 days", "30 hours", "less than a minute"."""
    if seconds < _MINUTE:
        return "less than a minute"
    for length, unit in ((_DAY, "days"), (_HOUR, "hours")):
        if seconds >= 1.5 * length:
            return f"{round(seconds / length)} {unit}"
    minutes = round(seconds / _MINUTE)
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
