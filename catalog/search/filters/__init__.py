"""The one definition of all filters: pages, counts and other apps use the same filter sets.

A filter set selects rows of profiles or datasets in the columns of ``catalog.search.snapshot``.
Counts, pages and sets of images are derived from these rows. A value that is not understood makes
the set invalid, and an invalid set matches nothing.

``images`` (with ``image_words``) and ``datasets`` have the filter sets, ``base`` what both share,
``column_filters`` the filters that they are made of, ``fields`` the form fields that check the
values of a URL.
"""

from catalog.search.filters.base import CatalogFilterSet
from catalog.search.filters.datasets import DatasetFilterSet
from catalog.search.filters.images import ImageFilterSet

__all__ = ["CatalogFilterSet", "DatasetFilterSet", "ImageFilterSet"]
