"""Rows of the loaded catalog, read directly from its tables."""

from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from benchmarks.figures import Figures
from benchmarks.filter_sets import Profile

# Each profile that pages show, with the codes of its values; without inactive terms, as on pages.
# The order does not depend on ids, which differ from load to load.
_PROFILES = """
    WITH label_sets AS (
        SELECT sets.label_ids,
               (SELECT array_agg(code ORDER BY code) FROM vocab_label
                 WHERE id = ANY(sets.label_ids) AND is_active) AS codes
          FROM (SELECT DISTINCT label_ids FROM catalog_imageprofile) sets
    ), facts AS (
        SELECT dataset.id, dataset.slug,
               dataset.license_id,
               (SELECT array_agg(code ORDER BY code) FROM catalog_dataset_task_types many
                  JOIN vocab_tasktype term ON term.id = many.tasktype_id AND term.is_active
                 WHERE many.dataset_id = dataset.id) AS tasks,
               (SELECT array_agg(code ORDER BY code) FROM catalog_dataset_tags many
                  JOIN vocab_tag term ON term.id = many.tag_id AND term.is_active
                 WHERE many.dataset_id = dataset.id) AS tags
          FROM catalog_dataset dataset WHERE dataset.is_active
    )
    SELECT profile.id AS profile_id, profile.num_images, facts.slug AS dataset,
           area.code AS area, modality.code AS modality,
           license.code AS license,
           coalesce(nullif(profile.sex, ''), 'unknown') AS sex,
           coalesce(profile.age_band || '-' || profile.age_band + 9, 'unknown') AS age,
           CASE profile.availability WHEN 'here' THEN '1' ELSE profile.availability END AS local,
           view.code AS view, coalesce(modality.kind, 'picture') AS kind,
           coalesce(label_sets.codes, '{}') AS labels,
           coalesce(facts.tasks, '{}') AS tasks, coalesce(facts.tags, '{}') AS tags
      FROM catalog_imageprofile profile
      JOIN facts ON facts.id = profile.dataset_id
      JOIN label_sets ON label_sets.label_ids = profile.label_ids
      LEFT JOIN vocab_anatomicalarea area ON area.id = profile.area_id AND area.is_active
      LEFT JOIN vocab_modality modality ON modality.id = profile.modality_id AND modality.is_active
      LEFT JOIN vocab_viewposition view ON view.id = profile.view_id AND view.is_active
      LEFT JOIN vocab_license license
        ON license.id = coalesce(profile.license_id, facts.license_id) AND license.is_active
     WHERE profile.num_images > 0
"""
_ORDER = "dataset, area, modality, sex, age, local, view, labels"
_FLAT = f"""
    COPY (SELECT image.id, image.source_id, facts.dataset, facts.area, facts.modality,
                 facts.license, facts.sex, facts.age, facts.local, facts.view, facts.kind,
                 to_json(facts.labels), to_json(facts.tasks), to_json(facts.tags),
                 image.subject_id, image.file_path, image.remote_url,
                 image.width, image.height, image.size_bytes
            FROM catalog_image image JOIN ({_PROFILES}) facts ON facts.profile_id = image.profile_id
           ORDER BY image.id)
      TO STDOUT (FORMAT csv)
"""  # noqa: S608 - both parts stand above
# One row an image; lists are JSON arrays. The peers get exactly these columns.
FLAT_COLUMNS = ("id", "source_id", "dataset", "area", "modality", "license", "sex", "age", "local",
                "view", "kind", "labels", "tasks", "tags", "subject_id", "file_path",
                "remote_url", "width", "height", "size_bytes")  # fmt: skip
_HIERARCHIES = {"area": "vocab_anatomicalarea", "modality": "vocab_modality",
                "view": "vocab_viewposition"}  # fmt: skip
_NARROWER = " UNION ALL ".join(
    f"""
    (WITH RECURSIVE below AS (
        SELECT code, id FROM {table} WHERE is_active
         UNION
        SELECT below.code, term.id FROM below
          JOIN {table} term ON term.broader_id = below.id AND term.is_active)
     SELECT '{name}', below.code, array_agg(term.code ORDER BY term.code)
       FROM below JOIN {table} term ON term.id = below.id
      GROUP BY below.code HAVING count(*) > 1)"""  # noqa: S608 - names of tables, from above
    for name, table in _HIERARCHIES.items()
)
_COUNTS = """
    SELECT (SELECT count(*) FROM catalog_image), (SELECT count(*) FROM catalog_dataset),
           (SELECT count(DISTINCT dataset_id) FROM catalog_image),
           (SELECT count(*) FROM catalog_imageprofile), (SELECT count(*) FROM catalog_imagelabel),
           pg_database_size(current_database())
"""
_COUNTED = ("images", "datasets", "datasets_with_images", "profiles", "labels", "bytes")


def read_narrower(connection: Connection) -> dict[tuple[str, str], list[str]]:
    """The codes that a filter by a broader term finds as well, by the filter and its code."""
    with connection.cursor() as cursor:
        cursor.execute(_NARROWER)
        return {(name, code): codes for name, code, codes in cursor.fetchall()}


def read_profiles(connection: Connection) -> list[Profile]:
    """All profiles with images, in an order that is the same after every load."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_PROFILES} ORDER BY {_ORDER}")
        names = [column.name for column in cursor.description]
        return [_make_profile(dict(zip(names, row, strict=True))) for row in cursor]


def _make_profile(row: dict[str, Any]) -> Profile:
    one = ("dataset", "area", "modality", "license", "sex", "age", "local", "view", "kind")
    values = {name: (row[name],) for name in one if row[name]}
    many = {"label": row["labels"], "task": row["tasks"], "tag": row["tags"]}
    return Profile(values | {name: tuple(codes) for name, codes in many.items()}, row["num_images"])


def write_flat_rows(connection: Connection, path: Path) -> None:
    """Writes ``FLAT_COLUMNS`` of every image that pages show as CSV without a head."""
    with path.open("wb") as file, connection.cursor() as cursor:
        cursor.copy_expert(_FLAT, file)


def count_rows(connection: Connection) -> Figures:
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS)
        return dict(zip(_COUNTED, cursor.fetchone(), strict=True))


def tidy(connection: Connection) -> None:
    """What autovacuum does within minutes of an import, so that it does not do it meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")
