"""Template filters: numbers, sizes and query strings as pages show them."""

from django import template
from django.http import QueryDict
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

from catalog.formats import file_size, number

register = template.Library()

register.filter("number", number)
register.filter("file_size", file_size)


@register.filter
def snippet(text: str) -> SafeString:
    """A search snippet with its hits marked; \\x02 and \\x03 come from
    ``catalog.search.full_text``.
    """
    escaped = conditional_escape(text)
    return mark_safe(escaped.replace("\x02", "<mark>").replace("\x03", "</mark>"))  # noqa: S308 - escaped above


@register.simple_tag
def with_params(params: QueryDict, **changes: object) -> str:
    """The query string with parameters set, or removed if the value is empty."""
    changed = params.copy()
    for name, value in changes.items():
        changed.pop(name, None)
        if value not in ("", None):
            changed[name] = str(value)
    return changed.urlencode()
