"""Rows and sources for the tests of imports, and what an import left behind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection

from catalog.imaging.paths import FileFacts
from catalog.importers.rows import BadRow, ImageRow
from catalog.models import Dataset, Image

FACTS = FileFacts(10, "ab" * 32, 7, 1_600_000_000_000_000_000)
TABLES = (
    "catalog_dataset", "catalog_image", "catalog_imagelabel", "catalog_imageprofile", "vocab_label",
)  # fmt: skip


def row(source_id: str, **values: Any) -> ImageRow:
    return ImageRow(source_id=source_id, **values)


Row = ImageRow | BadRow


class ListSource:
    """A source of given rows, or of what a function yields."""

    def __init__(
        self,
        rows: Sequence[Row] | Callable[[], Iterator[ImageRow]],
        *,
        num_rows: int | None = None,
        **entry: Any,
    ) -> None:
        self.entry: Mapping[str, Any] = {"slug": "rays", "title": "Rays", **entry}
        self.num_rows = num_rows
        self._rows = rows

    def rows(self) -> Iterator[ImageRow | BadRow]:
        yield from self._rows() if callable(self._rows) else self._rows


def row_versions() -> dict[str, list[tuple]]:
    """Where each row of the catalog lies and which transaction wrote it: equal when untouched."""
    versions = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT id, ctid::text, xmin::text FROM {table} ORDER BY id")  # noqa: S608
            versions[table] = cursor.fetchall()
    return versions


def hold_images(*images: Image) -> Any:
    """A collection that holds these images; its app stands above this one."""
    user, _ = get_user_model().objects.get_or_create(username="holder")
    items: Any = Image._meta.get_field("collection_items").related_model
    collections = items._meta.get_field("collection").related_model.objects
    collection = collections.create(user=user, title="Mine", slug="mine")
    for position, image in enumerate(images, 1):
        items.objects.create(
            collection=collection, image=image, position=position, sha256="", size_bytes=None
        )
    return collection


def source_ids(dataset: Dataset) -> list[str]:
    return sorted(dataset.images.values_list("source_id", flat=True))
