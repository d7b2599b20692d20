"""Template filters: numbers, sizes and query strings as pages show them."""

from urllib.parse import urlencode

from django import template
from django.http import QueryDict
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


@register.filter
def number(value: int | None) -> str:
    """12345 as 12,345; nothing as a dash."""
    return "–" if value is None else f"{value:,}"


@register.filter
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


@register.filter
def snippet(text: str) -> SafeString:
    """A search snippet with its hits marked; \\x02 and \\x03 come from ``catalog.search``."""
    escaped = conditional_escape(text)
    return mark_safe(escaped.replace("\x02", "<mark>").replace("\x03", "</mark>"))  # noqa: S308 - escaped above


@register.simple_tag
def with_params(params: QueryDict, **changes: object) -> str:
    """The query string with parameters set, or taken away when the value is empty."""
    changed = params.copy()
    for name, value in changes.items():
        changed.pop(name, None)
        if value not in ("", None):
            changed[name] = str(value)
    return changed.urlencode()


@register.simple_tag
def query(**params: object) -> str:
    """A query string from keyword arguments: ``{% query modality=code %}``."""
    return urlencode(params)
