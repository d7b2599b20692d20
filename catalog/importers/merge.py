"""Merges the staged rows into the catalog, by a few statements over whole tables.

``staged_image`` is compared with the dataset's images, and only rows that differ are written. New
images are inserted with their profile, in the order of profiles, so that a page of images is read
from neighbouring disk blocks.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import IntegrityError
from django.db.backends.utils import CursorWrapper

from catalog.bulk.foreign_keys import may_skip_checks, unchecked
from catalog.bulk.statistics import refresh_statistics
from catalog.hooks import ImageHolder, image_holders
from catalog.importers import queries
from catalog.importers.encoding import FILE
from catalog.models import Image
from catalog.profiles.building import add_profiles, count_profiles, key_of
from catalog.profiles.queries import SAME_KEY

# The columns that a source gives of an image, without its labels.
COLUMNS = (
    "file_path", "remote_url", "modality_id", "area_id", "license_id", "view_id", "subject_id",
    "sex", "age_years", "width", "height", "size_bytes", "sha256", "crc32", "mtime_ns",
    "num_files", "identifying", "metadata_json",
)  # fmt: skip


_FIELD = "file.fields ->> {}"
_KEYS = "(SELECT key.* FROM {staged}) staged"


# The rows that new images and labels reference. They stay locked against deletion until the end of
# the transaction, as by the checks of foreign keys, but are locked at once instead of one by one.
_LOCK_TARGETS = (
    "SELECT id FROM catalog_dataset WHERE id = {dataset} FOR KEY SHARE",
    "SELECT id FROM catalog_imageprofile WHERE dataset_id = {dataset} FOR KEY SHARE",
    "SELECT id FROM vocab_modality WHERE id IN (SELECT modality_id FROM staged_term) FOR KEY SHARE",
    "SELECT id FROM vocab_anatomicalarea WHERE id IN (SELECT area_id FROM staged_term)"
    " FOR KEY SHARE",
    "SELECT id FROM vocab_license WHERE id IN (SELECT license_id FROM staged_term) FOR KEY SHARE",
    "SELECT id FROM vocab_viewposition WHERE id IN (SELECT view_id FROM staged_term) FOR KEY SHARE",
    "SELECT id FROM vocab_label WHERE id IN (SELECT label_id FROM staged_label) FOR KEY SHARE",
)

_UNHELD = " AND NOT EXISTS (SELECT FROM {table} held WHERE held.{column} = removed.id)"
_REMOVE = (
    "DELETE FROM catalog_imagelabel WHERE image_id IN {released}",
    "DELETE FROM catalog_imagefile WHERE image_id IN {released}",
    "DELETE FROM catalog_image WHERE id IN {released}",
    "UPDATE catalog_image SET removed_at = now(), profile_id = NULL, updated_at = now()"
    " WHERE removed_at IS NULL AND id IN (SELECT id FROM staged_removed)",
)
_DROP_TABLES = "DROP TABLE IF EXISTS staged_given, staged_match, staged_place, staged_removed"


@dataclass(frozen=True, slots=True)
class Merged:
    """The numbers of images of a merge; ``is_written`` if any row of the catalog changed."""

    before: int
    added: int
    changed: int
    unchanged: int
    removed: int
    is_written: bool


def merge_staged(
    cursor: CursorWrapper,
    dataset_id: int,
    *,
    keeps_missing: bool,
    has_files: bool,
    check_removal: Callable[[int, int], None],
) -> Merged:
    """Make the dataset's images and profiles equal to the staged rows; write only differences.

    ``has_files`` says whether a staged image has several files. With ``keeps_missing`` images that
    are not staged stay as they are. ``check_removal`` gets the numbers of images to be removed and
    of all images before, and may raise.
    """
    cursor.execute(_DROP_TABLES)
    cursor.execute(queries.BY_TABLE)
    is_first = not _match(cursor, dataset_id)
    # A first import writes nothing but rows of its own, so all of them are checked at once.
    checked = partial(_checked_once, cursor, dataset_id)
    with checked() if is_first else nullcontext():
        _place(cursor, dataset_id)
        cursor.execute(queries.COUNT_PLACED)
        changed, unchanged = cursor.fetchone()
        missing, before = _find_removed(cursor)
        if not keeps_missing:
            check_removal(missing, before)
        cursor.execute(queries.BY_ROW)
        added, updated = _write_images(cursor, dataset_id, nullcontext if is_first else checked)
        if updated:
            cursor.execute(queries.DROP_FILES)
        if has_files:
            _add_files(cursor)
        removed, num_written = (0, 0) if keeps_missing else _remove_missing(cursor)
        is_written = bool(added or updated or num_written)
        if is_written:
            cursor.execute(queries.BY_TABLE)
            count_profiles(cursor, [dataset_id])
    cursor.execute(queries.AS_USUAL)
    return Merged(before, added, changed, unchanged, removed, is_written)


def _match(cursor: CursorWrapper, dataset_id: int) -> bool:
    """Match the dataset's images and their labels with the staged rows; False if it has none."""
    image, staged = _columns("image"), _columns("staged")
    match = queries.MATCH.format(
        image=image, staged=staged, file=", ".join(FILE), dataset=dataset_id
    )
    cursor.execute(match)
    cursor.execute("ANALYZE staged_match")
    cursor.execute("SELECT count(*), min(id), max(id) FROM staged_match")
    known, first, last = cursor.fetchone()
    if known:
        _refresh_statistics(cursor, dataset_id, known)
    cursor.execute(queries.GIVEN, [first, last])
    cursor.execute("ANALYZE staged_given (image_id)")
    return bool(known)


def _place(cursor: CursorWrapper, dataset_id: int) -> None:
    """Assign a profile and an image to each row, new ones if needed."""
    key = key_of("staged", labels="staged.positive_ids")
    cursor.execute("SELECT area_id FROM catalog_dataset WHERE id = %s", [dataset_id])
    area = cursor.fetchone()[0] or "NULL"
    staged = queries.STAGED.format(key=key, dataset=dataset_id, area=area)
    add_profiles(cursor, _KEYS.format(staged=staged), [dataset_id])
    cursor.execute("SELECT pg_get_serial_sequence('catalog_image', 'id')")
    (sequence,) = cursor.fetchone()
    place = queries.PLACE.format(
        staged=staged, same=SAME_KEY, sequence=sequence, dataset=dataset_id
    )
    cursor.execute(place)
    cursor.execute("ANALYZE staged_place (is_new, is_changed, is_moved, is_relabeled, has_labels)")


def _find_removed(cursor: CursorWrapper) -> tuple[int, int]:
    """The numbers of images that are not staged, and of all images before."""
    cursor.execute(queries.FIND_REMOVED)
    cursor.execute("ANALYZE staged_removed")
    cursor.execute(queries.COUNT_REMOVED)
    missing, before = cursor.fetchone()
    return missing, before


def _write_images(
    cursor: CursorWrapper, dataset_id: int, checked: Callable[[], AbstractContextManager[None]]
) -> tuple[int, int]:
    """Write the new and the changed images with their labels: (inserted, updated)."""
    columns, values = ", ".join(COLUMNS), _columns("staged")
    cursor.execute("SELECT count(*) FROM staged_place WHERE is_new")
    (added,) = cursor.fetchone()
    if added:
        with checked():
            cursor.execute(
                queries.INSERT.format(columns=columns, values=values, dataset=dataset_id)
            )
            cursor.execute(queries.ADD_LABELS.format(whose="place.is_new"))
        _refresh_statistics(cursor, dataset_id, added)
    assignments = ", ".join(f"{name} = staged.{name}" for name in COLUMNS)
    cursor.execute(queries.UPDATE.format(assignments=assignments))
    updated = cursor.rowcount
    if updated:
        cursor.execute(queries.DROP_LABELS)
        cursor.execute(queries.ADD_LABELS.format(whose="place.is_relabeled AND NOT place.is_new"))
    return added, updated


def _refresh_statistics(cursor: CursorWrapper, dataset_id: int, num_images: int) -> None:
    cursor.execute("SELECT count(*) FROM catalog_imageprofile WHERE dataset_id = %s", [dataset_id])
    (num_profiles,) = cursor.fetchone()
    refresh_statistics(cursor, ["catalog_image", "catalog_imagelabel"], num_rows=num_images)
    refresh_statistics(cursor, ["catalog_imageprofile"], num_rows=num_profiles)


def _add_files(cursor: CursorWrapper) -> None:
    """Write the files of new and of changed images that have several."""
    values = ", ".join(f"({_FIELD.format(n)})::{kind}" for n, kind in enumerate(FILE.values()))
    cursor.execute(queries.ADD_FILES.format(columns=", ".join(FILE), values=values))


@contextmanager
def _checked_once(cursor: CursorWrapper, dataset_id: int) -> Iterator[None]:
    """Check foreign keys of all rows at once, if the role may; else row by row, as usual.

    Raises IntegrityError if a referenced row has been deleted.
    """
    if not may_skip_checks(cursor):
        yield
        return
    cursor.execute(queries.FIND_TERMS)
    for statement in _LOCK_TARGETS:
        cursor.execute(statement.format(dataset=dataset_id))
    for count in (queries.COUNT_DANGLING, queries.COUNT_DANGLING_LABELS):
        cursor.execute(count.format(dataset=dataset_id))
        if cursor.fetchone()[0]:
            raise IntegrityError(
                "A term or the dataset was deleted during the import. Import again."
            )
    with unchecked(cursor):
        yield


def _remove_missing(cursor: CursorWrapper) -> tuple[int, int]:
    """Delete the images that the source no longer has, or mark them where somebody holds them.

    Returns how many were newly removed, and how many rows were written.
    """
    cursor.execute("SELECT count(*) FILTER (WHERE NOT was_removed), count(*) FROM staged_removed")
    removed, candidates = cursor.fetchone()
    written = 0
    if candidates:
        cursor.execute(queries.LOCK_REMOVED)
        released = queries.RELEASED.format(unheld="".join(map(_unheld_by, image_holders)))
        for statement in _REMOVE:
            cursor.execute(statement.format(released=released))
            written += cursor.rowcount
    return removed, written


def _unheld_by(holder: ImageHolder) -> str:
    """SQL that excludes the removed images that this holder holds."""
    relation: Any = Image._meta.get_field(holder.rows)
    table = relation.related_model._meta.db_table
    return _UNHELD.format(table=table, column=relation.field.column)


def _columns(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in COLUMNS)
