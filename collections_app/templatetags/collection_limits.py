"""Whether a page may offer to build a collection."""

from django import template
from django.conf import settings
from django.http import QueryDict

from catalog.search.filters import ImageFilterSet
from collections_app.selection.limits import explain_limits

register = template.Library()


@register.simple_tag
def limits_of(filters: ImageFilterSet) -> list[str]:
    """Why the images that match are too many for one collection; empty if they are not."""
    too_many = explain_limits(num_images=filters.total, num_bytes=0)
    if too_many or not filters.may_exceed(settings.COLLECTION_MAX_BYTES):
        return too_many
    return explain_limits(num_images=filters.total, num_bytes=filters.count_files()[1])


@register.simple_tag
def limits_of_query(query_string: str) -> list[str]:
    """As ``limits_of``, for a page that shows no filters."""
    return limits_of(ImageFilterSet(QueryDict(query_string)))
