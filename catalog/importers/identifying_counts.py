"""Counts the images of a dataset whose files tell who somebody is, for its page."""

from django.db.backends.utils import CursorWrapper

from catalog.imported_keys import IDENTIFYING
from catalog.importers import queries
from catalog.models import Dataset, Image
from catalog.querysets import first_attributes


def keep_identifying_counts(cursor: CursorWrapper, dataset_pk: int) -> None:
    """Keep the counts after the merge; writes only if they differ from those kept."""
    before = Dataset.objects.values_list("imported_json", flat=True).get(pk=dataset_pk)
    after = {key: value for key, value in before.items() if key != IDENTIFYING}
    if IDENTIFYING in before or _has_identifying(cursor):
        counts = Image.objects.filter(dataset=dataset_pk, removed_at=None).count_identifying()
        if any(counts.values()):
            cursor.execute(queries.COUNT_IDENTIFYING, [dataset_pk])
            after[IDENTIFYING] = counts | first_attributes(cursor.fetchall())
    if after != before:
        Dataset.objects.filter(pk=dataset_pk).update(imported_json=after)


def _has_identifying(cursor: CursorWrapper) -> bool:
    cursor.execute(queries.HAS_IDENTIFYING)
    return bool(cursor.fetchone()[0])
