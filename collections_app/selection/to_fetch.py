"""What of a selection lies elsewhere and may be fetched; ``fetch_quota`` has the limits of that.

The freeze gives each such item its name in the archive: that is the sign that a build fetches it.
The names are those that users of the IDC's own tools know.
"""

from dataclasses import dataclass

from django.db import connection
from django.db.models import Count, Sum

from catalog.search.filters import ImageFilterSet
from catalog.storage.sources import list_places
from catalog.wording.formats import file_size
from collections_app.models import Collection
from collections_app.selection import queries

FETCH = "fetch"


@dataclass(frozen=True, slots=True)
class ToFetch:
    """Images that would be fetched, about how many bytes they have, and of how many none knows."""

    num_images: int = 0
    num_bytes: int = 0
    num_unsized: int = 0

    @property
    def size_in_words(self) -> str:
        """About how many bytes, within a sentence."""
        if not self.num_bytes and self.num_unsized:
            return "of unknown size"
        unsized = f" and {self.num_unsized:,} of unknown size" if self.num_unsized else ""
        return f"about {file_size(self.num_bytes)}{unsized}"


def count_to_fetch(filters: ImageFilterSet) -> ToFetch:
    """The selected images that lie where this server may fetch them."""
    places = list_places()
    if not places:
        return ToFetch()
    images, params = (
        filters.images()
        .filter(file_path="")
        .exclude(remote_url="")
        .order_by()
        .values("remote_url", "size_bytes")
        .query.sql_with_params()
    )
    with connection.cursor() as cursor:
        cursor.execute(queries.COUNT_TO_FETCH.replace("{images}", images), [*params, places])
        return ToFetch(*cursor.fetchone())


def name_items_to_fetch(collection: Collection) -> int:
    """Give the items that may be fetched their names in the archive; return their number."""
    with connection.cursor() as cursor:
        cursor.execute(queries.NAME_TO_FETCH, [collection.pk, list_places()])
        return cursor.rowcount


def count_items_to_fetch(collection: Collection) -> ToFetch:
    """The frozen items that are to be fetched, and about how many bytes they have."""
    counts = collection.items.to_fetch().aggregate(
        images=Count("pk"), sized=Count("size_bytes"), size=Sum("size_bytes")
    )
    num_images = counts["images"]
    return ToFetch(num_images, counts["size"] or 0, num_images - counts["sized"])
