"""The two parts that a page repeats a hundred times, made by Jinja2: in a quarter of the time."""

from typing import Any

from django import template
from django.template.context import Context
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from jinja2 import Environment, StrictUndefined

from catalog.search.cards import Card
from catalog.search.facets import Facet
from catalog.wording.formats import number

register = template.Library()


def environment(**options: Any) -> Environment:
    """Jinja2 as these parts use it; Django switches the escaping of values on."""
    options |= {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    made = Environment(**options)  # noqa: S701  # nosec B701
    made.filters["number"] = number
    return made


@register.simple_tag(takes_context=True)
def facet_values(context: Context, facet: Facet) -> SafeString:
    """The values of a facet as check boxes; ``path`` of the context is the page's."""
    return _render("facet_values", {"facet": facet, "path": context["path"]})


@register.simple_tag(takes_context=True)
def image_cards(context: Context, cards: list[Card]) -> SafeString:
    """A grid of images, those of ``basket_ids`` of the context ticked."""
    return _render("cards", {"cards": cards, "basket_ids": context.get("basket_ids", ())})


def _render(name: str, values: dict[str, Any]) -> SafeString:
    made = render_to_string(f"catalog/_{name}.jinja", values, using="jinja2")
    return mark_safe(made)  # noqa: S308 - Jinja2 has escaped each value  # nosec
