"""Counts the images of an import whose files have the same bytes as those of other images.

An image that is in the training and in the test split, or in two datasets of one collection, makes
results look better than they are.
"""

from collections.abc import Iterator

from django.db import connection
from django.db.backends.utils import CursorWrapper

from catalog.imported_keys import SAME_BYTES
from catalog.importers import queries
from catalog.importers.rows import MAX_EXAMPLES, FileNote, SameBytes
from catalog.models import Dataset

# So many other images are named beside a file.
_MOST_OTHERS = 4
_ONE_SPLIT = "keep one of them, or all of them in one split"
_CHOOSE = "keep one of them, or keep them together where images are split into training and test"


def count_same_bytes(cursor: CursorWrapper, dataset_pk: int) -> SameBytes:
    """The counts of the staged rows, with examples, by their SHA-256."""
    cursor.execute(queries.FIND_SAME_BYTES)
    cursor.execute(queries.COUNT_SAME_BYTES)
    within, across_splits = cursor.fetchone()
    found = SameBytes(within, across_splits)
    if within:
        cursor.execute(queries.SHOW_SAME_BYTES, [MAX_EXAMPLES])
        found.examples = [" = ".join(names) for (names,) in cursor.fetchall()]
    cursor.execute(queries.FIND_BYTES_ELSEWHERE, [dataset_pk])
    cursor.execute(queries.COUNT_BYTES_ELSEWHERE)
    for count, slug, example, other in cursor.fetchall():
        found.elsewhere[slug] = (count, f"{example} = {other}")
    return found


def list_same_bytes(found: SameBytes) -> Iterator[FileNote]:
    """What was counted, file by file; the tables of the count must be there."""
    if not (found.within or found.elsewhere):
        return
    with connection.chunked_cursor() as cursor:
        cursor.execute(queries.LIST_SAME_BYTES, [_MOST_OTHERS + 2])
        for path, line, has_splits, here, elsewhere in cursor:
            near = [name for name in here or () if name != path]
            near[_MOST_OTHERS:] = ["…"] if len(near) > _MOST_OTHERS else []
            problem = "the bytes of another image of the dataset"
            if has_splits:
                problem = "the bytes of an image of another split"
            elif not here:
                problem = "the bytes of an image of another dataset"
            remedy = _ONE_SPLIT if has_splits else _CHOOSE
            yield FileNote(problem, path, line, " | ".join([*near, *(elsewhere or ())]), remedy)


def keep_counts(dataset_pk: int, found: SameBytes) -> None:
    """Keep the counts for the dataset's page; writes only if they differ from those kept."""
    before = Dataset.objects.values_list("imported_json", flat=True).get(pk=dataset_pk)
    after = {key: value for key, value in before.items() if key != SAME_BYTES}
    if found.within or found.elsewhere:
        after[SAME_BYTES] = {
            "within": found.within,
            "across_splits": found.across_splits,
            "elsewhere": {slug: count for slug, (count, _) in sorted(found.elsewhere.items())},
        }
    if after != before:
        Dataset.objects.filter(pk=dataset_pk).update(imported_json=after)
