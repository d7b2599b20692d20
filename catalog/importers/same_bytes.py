"""Counts the images of an import whose files have the same bytes as those of other images.

An image that is in the training and in the test split, or in two datasets of one collection, makes
results look better than they are.
"""

from django.db.backends.utils import CursorWrapper

from catalog.importers import queries
from catalog.importers.rows import MAX_EXAMPLES, SameBytes
from catalog.models import Dataset

# The key of the counts in Dataset.imported_json, beside the fields of the entry.
KEY = "same_bytes"


def count_same_bytes(cursor: CursorWrapper, dataset_pk: int) -> SameBytes:
    """The counts of the staged rows, with examples, by their SHA-256."""
    cursor.execute(queries.FIND_SAME_BYTES)
    cursor.execute(queries.COUNT_SAME_BYTES)
    within, across_splits, files = cursor.fetchone()
    found = SameBytes(within, across_splits)
    if within:
        cursor.execute(queries.SHOW_SAME_BYTES, [MAX_EXAMPLES])
        found.examples = [" = ".join(names) for (names,) in cursor.fetchall()]
    if files:
        cursor.execute(queries.FIND_BYTES_ELSEWHERE, {"dataset": dataset_pk})
        for count, slug, example, other in cursor.fetchall():
            found.elsewhere[slug] = (count, f"{example} = {other}")
    return found


def keep_counts(dataset_pk: int, found: SameBytes) -> None:
    """Keep the counts for the dataset's page; writes only if they differ from those kept."""
    before = Dataset.objects.values_list("imported_json", flat=True).get(pk=dataset_pk)
    after = {key: value for key, value in before.items() if key != KEY}
    if found.within:
        after[KEY] = {"within": found.within, "across_splits": found.across_splits}
    if after != before:
        Dataset.objects.filter(pk=dataset_pk).update(imported_json=after)
