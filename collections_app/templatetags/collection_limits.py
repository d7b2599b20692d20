"""Whether a page may offer to build a collection."""

from django import template
from django.http import QueryDict

from catalog.search.filters import ImageFilterSet
from collections_app.selection.limits import explain_limits

register = template.Library()


@register.simple_tag
def limits_of(filters: ImageFilterSet) -> list[str]:
    """Why the images that match are too many for one collection; empty if they are not."""
    # The bytes cost a query where single images decide, so they are asked for only if needed.
    return explain_limits(num_images=filters.total, num_bytes=0) or explain_limits(
        num_images=filters.total, num_bytes=filters.count_files()[1]
    )


@register.simple_tag
def limits_of_query(query_string: str) -> list[str]:
    """As ``limits_of``, for a page that shows no filters."""
    return limits_of(ImageFilterSet(QueryDict(query_string)))
