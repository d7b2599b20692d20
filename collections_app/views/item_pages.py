"""Paging a collection's items by position, so that every page is as fast as the first."""

from typing import Any

from django.core.paginator import Page, Paginator

from collections_app.models import Collection

ITEMS_PER_PAGE = 48


class PositionPaginator(Paginator):
    """Pages of rows that have the positions 1 to ``num_items`` without gaps."""

    def __init__(self, rows: Any, per_page: int, *, num_items: int) -> None:
        super().__init__(rows, per_page)
        self.count = num_items

    def page(self, number: int | str) -> Page:
        """The rows of a page by a range of positions, without COUNT or OFFSET.

        Raises:
            PageNotAnInteger, EmptyPage: there is no such page; ``get_page`` uses the nearest.
        """
        valid = self.validate_number(number)
        before = (valid - 1) * self.per_page
        rows: Any = self.object_list
        found = rows.filter(position__gt=before, position__lte=before + self.per_page)
        return Page(found, valid, self)


def paginate_items(collection: Collection, number: str | None) -> Page:
    """The page of items with this number, or the nearest existing one."""
    items = collection.items.select_related("image__dataset", "image__modality")
    num_items = collection.num_images + collection.num_excluded
    ordered = items.order_by("position")
    return PositionPaginator(ordered, ITEMS_PER_PAGE, num_items=num_items).get_page(number)
