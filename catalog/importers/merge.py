"""Merges the staged rows into the catalog, by a few statements over whole tables.

``staged_image`` is compared with the dataset's images, and only rows that differ are written. New
images are inserted with their profile, in the order of profiles, so that a page of images is read
from neighbouring disk blocks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError
from django.db.backends.utils import CursorWrapper

from catalog.foreign_keys import may_skip_checks, unchecked
from catalog.hooks import ImageHolder, image_holders
from catalog.models import Image
from catalog.profiles.building import SAME_KEY, add_profiles, count_profiles, key_of

# The columns that a source gives of an image, without its labels.
COLUMNS = (
    "file_path", "remote_url", "modality_id", "area_id", "subject_id", "sex", "age_years", "width",
    "height", "size_bytes", "sha256", "crc32", "mtime_ns", "metadata_json",
)  # fmt: skip

# The planner's join methods are set here, as its statistics of the catalog are from before the
# import. First whole tables are compared, with memory to sort and hash; then single rows fetched.
BY_TABLE = """
    SET LOCAL work_mem = '128MB';
    SET LOCAL enable_nestloop = off; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on
"""
BY_ROW = """
    SET LOCAL enable_nestloop = on; SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off
"""
AS_USUAL = """
    SET LOCAL work_mem TO DEFAULT; SET LOCAL enable_nestloop TO DEFAULT;
    SET LOCAL enable_hashjoin TO DEFAULT; SET LOCAL enable_mergejoin TO DEFAULT
"""

# One row for each image of the catalog; ``n`` is NULL if the source no longer has it.
_MATCH = """
    CREATE TEMP TABLE staged_match ON COMMIT DROP AS
    SELECT image.id, staged.n, image.source_id, image.profile_id,
           image.removed_at IS NOT NULL AS was_removed,
           image.removed_at IS NOT NULL OR ({image}) IS DISTINCT FROM ({staged}) AS is_changed
      FROM catalog_image image
      LEFT JOIN staged_image staged ON staged.source_id = image.source_id
     WHERE image.dataset_id = {dataset}
"""
# Their labels, in the staged form. A dataset's images were inserted together, so the range between
# its first and last id has few labels of other datasets.
_GIVEN = """
    CREATE TEMP TABLE staged_given ON COMMIT DROP AS
    SELECT image_id,
           array_agg(label_id ORDER BY label_id) AS label_ids,
           array_agg(finding::text ORDER BY label_id) AS findings,
           array_agg(confidence ORDER BY label_id) AS confidences,
           array_agg(metadata_json ORDER BY label_id) AS label_metadata
      FROM catalog_imagelabel
     WHERE image_id BETWEEN %s AND %s AND image_id IN (SELECT id FROM staged_match)
     GROUP BY image_id
"""

# ``staged`` with the ``key`` of its profile; an image's own area is NULL if it is the dataset's.
_STAGED = """
    staged_image staged
    JOIN catalog_dataset dataset ON dataset.id = {dataset}
    CROSS JOIN LATERAL (SELECT {key}) key
"""
_KEYS = "(SELECT key.* FROM {staged}) staged"

# For each row the id of its image, new if needed, and its profile. Only these few columns are
# sorted, and the rows are fetched in that order: sorting whole rows takes longer than writing them.
_PLACE = """
    CREATE TEMP TABLE staged_place ON COMMIT DROP AS
    SELECT staged.ctid AS row, profile.id AS profile_id,
           coalesce(known.id, nextval('{sequence}')) AS image_id,
           known.id IS NULL AS is_new,
           known.is_changed,
           known.profile_id IS DISTINCT FROM profile.id AS is_moved,
           known.id IS NOT NULL AND
           (given.label_ids, given.findings, given.confidences, given.label_metadata)
           IS DISTINCT FROM
           (staged.label_ids, staged.findings, staged.confidences, staged.label_metadata)
           AS is_relabeled,
           staged.label_ids IS NOT NULL AS has_labels
      FROM {staged}
      JOIN (SELECT * FROM catalog_imageprofile WHERE dataset_id = {dataset}) profile ON {same}
      LEFT JOIN staged_match known ON known.n = staged.n
      LEFT JOIN staged_given given ON given.image_id = known.id
     ORDER BY profile.id, staged.n
"""
_COUNT_PLACED = """
    SELECT count(*) FILTER (WHERE is_changed OR is_relabeled),
           count(*) FILTER (WHERE NOT is_changed AND NOT is_relabeled)
      FROM staged_place WHERE NOT is_new
"""

_UPDATE = """
    UPDATE catalog_image image
       SET {assignments}, profile_id = place.profile_id, removed_at = NULL, updated_at = now()
      FROM staged_place place
      JOIN staged_image staged ON staged.ctid = place.row
     WHERE image.id = place.image_id AND NOT place.is_new
       AND (place.is_changed OR place.is_relabeled OR place.is_moved)
"""
_INSERT = """
    INSERT INTO catalog_image
           (id, dataset_id, source_id, {columns}, profile_id, created_at, updated_at)
    SELECT place.image_id, {dataset}, staged.source_id, {values}, place.profile_id, now(), now()
      FROM staged_place place
      JOIN staged_image staged ON staged.ctid = place.row
     WHERE place.is_new
"""
_DROP_LABELS = """
    DELETE FROM catalog_imagelabel
     WHERE image_id IN (SELECT image_id FROM staged_place WHERE is_relabeled)
"""
_ADD_LABELS = """
    INSERT INTO catalog_imagelabel (image_id, label_id, finding, confidence, metadata_json)
    SELECT place.image_id, unnest(staged.label_ids), unnest(staged.findings),
           unnest(staged.confidences), unnest(staged.label_metadata)
      FROM staged_place place
      JOIN staged_image staged ON staged.ctid = place.row
     WHERE {whose} AND place.has_labels
"""

# The rows that new images and labels reference. They stay locked against deletion until the end of
# the transaction, as by the checks of foreign keys, but are locked at once instead of one by one.
_LOCK_TARGETS = (
    "SELECT id FROM catalog_dataset WHERE id = {dataset} FOR KEY SHARE",
    "SELECT id FROM catalog_imageprofile WHERE dataset_id = {dataset} FOR KEY SHARE",
    "SELECT id FROM vocab_modality WHERE id IN (SELECT modality_id FROM staged_image)"
    " FOR KEY SHARE",
    "SELECT id FROM vocab_anatomicalarea WHERE id IN (SELECT area_id FROM staged_image)"
    " FOR KEY SHARE",
    "SELECT id FROM vocab_label WHERE id IN (SELECT unnest(label_ids) FROM staged_image)"
    " FOR KEY SHARE",
)
_COUNT_DANGLING = """
    SELECT count(*) FILTER (
        WHERE NOT EXISTS (SELECT FROM catalog_dataset WHERE id = {dataset})
           OR modality_id IS NOT NULL
              AND NOT EXISTS (SELECT FROM vocab_modality WHERE id = modality_id)
           OR area_id IS NOT NULL
              AND NOT EXISTS (SELECT FROM vocab_anatomicalarea WHERE id = area_id))
      FROM (SELECT DISTINCT modality_id, area_id FROM staged_image) used
"""
_COUNT_DANGLING_LABELS = """
    SELECT count(*) FROM (SELECT DISTINCT unnest(label_ids) AS id FROM staged_image) used
     WHERE NOT EXISTS (SELECT FROM vocab_label label WHERE label.id = used.id)
"""

_FIND_REMOVED = """
    CREATE TEMP TABLE staged_removed ON COMMIT DROP AS
    SELECT id, was_removed FROM staged_match known
     WHERE n IS NULL
       AND NOT EXISTS (SELECT FROM staged_reject bad WHERE bad.source_id = known.source_id)
"""
# A transaction that adds one of them to a collection is either seen by the next statement, or waits
# for this one and then finds the image deleted.
_LOCK_REMOVED = """
    SELECT count(*)
      FROM (SELECT FROM catalog_image
             WHERE id IN (SELECT id FROM staged_removed) ORDER BY id FOR UPDATE) locked
"""
_RELEASED = """
    (SELECT id FROM staged_removed removed WHERE true{unheld})
"""
_UNHELD = " AND NOT EXISTS (SELECT FROM {table} held WHERE held.{column} = removed.id)"
_REMOVE = (
    "DELETE FROM catalog_imagelabel WHERE image_id IN {released}",
    "DELETE FROM catalog_image WHERE id IN {released}",
    "UPDATE catalog_image SET removed_at = now(), profile_id = NULL, updated_at = now()"
    " WHERE removed_at IS NULL AND id IN (SELECT id FROM staged_removed)",
)
_DROP_TABLES = "DROP TABLE IF EXISTS staged_given, staged_match, staged_place, staged_removed"


@dataclass(frozen=True, slots=True)
class Merged:
    """The numbers of images of a merge; ``is_written`` if any row of the catalog changed."""

    added: int
    changed: int
    unchanged: int
    removed: int
    is_written: bool


def merge_staged(cursor: CursorWrapper, dataset_id: int, *, keeps_missing: bool) -> Merged:
    """Make the dataset's images and profiles equal to the staged rows; write only differences.

    With ``keeps_missing`` images that are not staged stay as they are.
    """
    cursor.execute(_DROP_TABLES)
    cursor.execute(BY_TABLE)
    _match(cursor, dataset_id)
    _place(cursor, dataset_id)
    cursor.execute(_COUNT_PLACED)
    changed, unchanged = cursor.fetchone()
    cursor.execute(_FIND_REMOVED)
    cursor.execute("ANALYZE staged_removed")
    cursor.execute(BY_ROW)
    added, updated = _write_images(cursor, dataset_id)
    removed, num_written = (0, 0) if keeps_missing else _remove_missing(cursor)
    is_written = bool(added or updated or num_written)
    if is_written:
        count_profiles(cursor, [dataset_id])
    cursor.execute(AS_USUAL)
    return Merged(added, changed, unchanged, removed, is_written)


def _match(cursor: CursorWrapper, dataset_id: int) -> None:
    """Match the dataset's images and their labels with the staged rows."""
    image, staged = _columns("image"), _columns("staged")
    cursor.execute(_MATCH.format(image=image, staged=staged, dataset=dataset_id))
    cursor.execute("ANALYZE staged_match")
    cursor.execute("SELECT min(id), max(id) FROM staged_match")
    cursor.execute(_GIVEN, cursor.fetchone())
    cursor.execute("ANALYZE staged_given (image_id)")


def _place(cursor: CursorWrapper, dataset_id: int) -> None:
    """Assign a profile and an image to each row, new ones if needed."""
    key = key_of("staged", labels="staged.positive_ids")
    staged = _STAGED.format(key=key, dataset=dataset_id)
    add_profiles(cursor, _KEYS.format(staged=staged), [dataset_id])
    cursor.execute("SELECT pg_get_serial_sequence('catalog_image', 'id')")
    (sequence,) = cursor.fetchone()
    place = _PLACE.format(staged=staged, same=SAME_KEY, sequence=sequence, dataset=dataset_id)
    cursor.execute(place)
    cursor.execute("ANALYZE staged_place (is_new, is_changed, is_moved, is_relabeled, has_labels)")


def _write_images(cursor: CursorWrapper, dataset_id: int) -> tuple[int, int]:
    """Write the new and the changed images with their labels: (inserted, updated)."""
    columns, values = ", ".join(COLUMNS), _columns("staged")
    cursor.execute("SELECT count(*) FROM staged_place WHERE is_new")
    (added,) = cursor.fetchone()
    if added:
        with _checked_once(cursor, dataset_id):
            cursor.execute(_INSERT.format(columns=columns, values=values, dataset=dataset_id))
            cursor.execute(_ADD_LABELS.format(whose="place.is_new"))
    assignments = ", ".join(f"{name} = staged.{name}" for name in COLUMNS)
    cursor.execute(_UPDATE.format(assignments=assignments))
    updated = cursor.rowcount
    if updated:
        cursor.execute(_DROP_LABELS)
        cursor.execute(_ADD_LABELS.format(whose="place.is_relabeled AND NOT place.is_new"))
    return added, updated


@contextmanager
def _checked_once(cursor: CursorWrapper, dataset_id: int) -> Iterator[None]:
    """Check foreign keys of all rows at once, if the role may; else row by row, as usual.

    Raises IntegrityError if a referenced row has been deleted.
    """
    if not may_skip_checks(cursor):
        yield
        return
    for statement in _LOCK_TARGETS:
        cursor.execute(statement.format(dataset=dataset_id))
    for count in (_COUNT_DANGLING, _COUNT_DANGLING_LABELS):
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
        cursor.execute(_LOCK_REMOVED)
        released = _RELEASED.format(unheld="".join(map(_unheld_by, image_holders)))
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
