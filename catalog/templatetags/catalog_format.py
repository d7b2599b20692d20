"""Template filters: numbers with what they count, sizes and query strings, as pages show them."""

from django import template
from django.http import QueryDict
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

from catalog.deidentification import deidentifies_on_delivery
from catalog.models import Dataset, Dimension
from catalog.previews.elsewhere import is_previewed_remotely
from catalog.wording.formats import file_size, number, size_of_dataset
from catalog.wording.object_counts import KindCounts, noun_of, say_objects, say_published

register = template.Library()

register.filter("number", number)
register.filter("published", say_published)
register.filter("file_size", file_size)
register.filter("size_of_dataset", size_of_dataset)
register.filter("may_be_previewed", is_previewed_remotely)
register.simple_tag(deidentifies_on_delivery)


@register.filter
def short_address(address: str) -> str:
    """An address, without its middle where it would take more than a few lines of a phone."""
    most = 80
    return address if len(address) <= most else f"{address[: most // 2]}…{address[1 - most // 2 :]}"


@register.filter
def objects(counts: KindCounts, beside: object = None) -> str:
    """Numbers of objects with their nouns; ``beside`` other objects, if there are any."""
    return say_objects(counts, beside=bool(beside))


@register.filter
def object_noun(counts: KindCounts, beside: object = None) -> str:
    """The noun for the sum of numbers of objects."""
    return noun_of(counts, beside=bool(beside))


@register.filter
def object_noun_for(counts: KindCounts, number: int) -> str:
    """The noun of these objects for another number, such as a part of them."""
    return noun_of(counts, number=number)


@register.filter
def objects_verb(counts: KindCounts, endings: str = "es,") -> str:
    """The ending of a verb, or the verb, after these numbers: singular, plural."""
    return endings.split(",")[sum(counts.values()) != 1]


@register.filter
def snippet(text: str, whole: str) -> SafeString:
    """A part of the ``whole`` text with its hits marked, and dots where more is before or after.

    \\x02 and \\x03 come from ``catalog.search.full_text``.
    """
    plain = text.replace("\x02", "").replace("\x03", "").strip()
    before = "" if whole.lstrip().startswith(plain) else "… "
    after = "" if whole.rstrip().endswith(plain) else " …"
    escaped = conditional_escape(f"{before}{text.strip()}{after}")
    return mark_safe(escaped.replace("\x02", "<mark>").replace("\x03", "</mark>"))  # noqa: S308 - escaped  # nosec


@register.simple_tag
def with_params(params: QueryDict, **changes: object) -> str:
    """The query string with parameters set, or removed if the value is empty."""
    changed = params.copy()
    for name, value in changes.items():
        changed.pop(name, None)
        if value not in ("", None):
            changed[name] = str(value)
    return changed.urlencode()


@register.filter
def page_at_host(dataset: Dataset) -> str:
    """What a link to the page of a dataset says: "Go to its page at Kaggle"."""
    host = dataset.host
    return f"Go to its page at {host.name_in_sentence}" if host.domains else "Go to its page"


@register.filter
def dimension_name(code: str) -> str:
    return str(Dimension(code).label)
