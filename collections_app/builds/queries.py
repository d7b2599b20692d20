"""The SQL of builds."""

from catalog.storage.cache import MTIME_NS
from collections_app.selection.queries import (
    DELIVERED_FILES,
    FETCHED_FILES,
    FILES_HERE,
    HAS_MANY,
    MANY_FILES,
)

# In the place of a dataset: the file is in the cache of fetched ones, by its SHA-256.
FROM_CACHE = -1

# Items of which the archive has other bytes than was learnt of them until now.
_NEWLY_DELIVERED = """
      (SELECT position, jsonb_object_agg(
                  name, jsonb_build_object('size', size, 'sha256', sha256)) AS files
         FROM unnest(%s::int[], %s::text[], %s::bigint[], %s::text[])
              made (position, name, size, sha256)
        GROUP BY position) given
     WHERE item.collection_id = %s AND item.position = given.position
       AND CASE WHEN given.files ? item.file_name
                THEN metadata_json -> 'delivered' IS DISTINCT FROM given.files -> item.file_name
                ELSE (metadata_json #> '{delivered,files}' @> given.files) IS NOT TRUE END
"""
# How large their rows are.
SIZE_OF_NEWLY_DELIVERED = f"""
    SELECT coalesce(sum(pg_column_size(metadata_json) + pg_column_size(given.files)), 0)::bigint
      FROM collections_app_collectionitem item, {_NEWLY_DELIVERED}
"""  # noqa: S608 - our own words  # nosec
# Kept beside what was frozen.
SET_DELIVERED = f"""
    UPDATE collections_app_collectionitem item
       SET metadata_json = metadata_json || jsonb_build_object('delivered',
               CASE WHEN given.files ? item.file_name THEN given.files -> item.file_name
                    ELSE jsonb_build_object('files',
                        coalesce(metadata_json #> '{{delivered,files}}', '{{}}')
                        || given.files) END)
      FROM {_NEWLY_DELIVERED}
"""  # noqa: S608 - our own words  # nosec

# Of a series of which files were: as in ``catalog.storage.series``.
SUM_DELIVERED = f"""
    UPDATE collections_app_collectionitem item
       SET metadata_json = jsonb_set(metadata_json, '{{{{delivered}}}}',
               (metadata_json -> 'delivered')
               || jsonb_build_object('size', sums.size, 'sha256', sums.sha256))
      FROM (SELECT position, sum(size_bytes) AS size,
                   encode(sha256(convert_to(string_agg(sha256 || '  ' || name || chr(10), ''
                       ORDER BY name COLLATE "C"), 'UTF8')), 'hex') AS sha256
              FROM ({DELIVERED_FILES}) files
             WHERE file_name <> item_name GROUP BY position) sums
     WHERE item.collection_id = {{collection}} AND item.position = sums.position
       AND item.metadata_json #> '{{{{delivered,files}}}}' IS NOT NULL
       AND NOT item.metadata_json -> 'delivered'
               @> jsonb_build_object('size', sums.size, 'sha256', sums.sha256)
"""  # noqa: S608 - our own words  # nosec

# Size and time show that a file is unchanged only if the catalog still has the same SHA-256.
# Foreign keys exclude a missing image; the left join would still show one. Each image is looked up
# by its key: to plan any other join, PostgreSQL would search for the largest key in each query,
# which takes as long as the query itself after many items were deleted.
FILES_OF_ITEMS = f"""
    SELECT position, file_name, size_bytes, sha256, is_same, crc32, mtime_ns, dataset_id, file_path
      FROM (
    SELECT item.position, item.file_name, item.size_bytes, item.sha256,
           coalesce(image.sha256 = item.sha256, false) AS is_same,
           coalesce(image.crc32::text, '') AS crc32,
           coalesce(image.mtime_ns::text, '') AS mtime_ns,
           coalesce(image.dataset_id, 0) AS dataset_id,
           coalesce(image.file_path, '') AS file_path
      FROM collections_app_collectionitem item
      LEFT JOIN LATERAL (
           SELECT * FROM catalog_image WHERE id = item.image_id OFFSET 0) image ON true
     WHERE item.collection_id = {{collection}} AND item.position BETWEEN {{first}} AND {{last}}
       AND item.file_name <> '' AND NOT item.is_excluded AND NOT ({HAS_MANY})
     UNION ALL
    SELECT position, file_name, size_bytes, sha256, is_same, coalesce(crc32::text, ''),
           coalesce(mtime_ns::text, ''), dataset_id, path
      FROM ({FILES_HERE}) here
     UNION ALL
    SELECT position, file_name, size_bytes, sha256, true, crc32::text, '{MTIME_NS}', {FROM_CACHE},
           sha256
      FROM ({FETCHED_FILES}) fetched) files
     ORDER BY position, file_name COLLATE "C"
"""  # noqa: S608 - our own words  # nosec

# Of what is verified: the files of the archive as they were frozen or learnt.
_WRITTEN = """
    SELECT position, file_name, size_bytes, sha256
      FROM (SELECT position, file_name, {size} AS size_bytes, {sha256} AS sha256
              FROM collections_app_collectionitem item
             WHERE collection_id = {{collection}} AND position BETWEEN {{first}} AND {{last}}
               AND file_name <> '' AND NOT is_excluded AND NOT ({has_many})
             UNION ALL
            SELECT position, file_name, size_bytes, sha256 FROM ({many}) many) files
     ORDER BY position, file_name COLLATE "C"
"""  # nosec
WRITTEN = _WRITTEN.format(
    size="coalesce(size_bytes, 0)", sha256="sha256", has_many=HAS_MANY, many=MANY_FILES
)
# The same where files are de-identified on delivery.
WRITTEN_DEIDENTIFIED = _WRITTEN.format(
    size="coalesce((metadata_json -> 'delivered' ->> 'size')::bigint, size_bytes, 0)",
    sha256="coalesce(metadata_json -> 'delivered' ->> 'sha256', sha256)",
    has_many=HAS_MANY,
    many=DELIVERED_FILES,
)

# In the order of FetchedFile. The source may have put back what was known before.
# The same file may have got its ending from its source meanwhile, and is one file nevertheless.
KEEP_REMOTE_FILES = """
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[],
                             %s::bigint[], %s::text[], %s::text[])
               given (address, item_sha256, name, size_bytes, sha256, crc32, suffix, tag)),
    renamed AS (
        DELETE FROM catalog_remotefile file USING given
         WHERE file.address = given.address AND file.item_sha256 = given.item_sha256
           AND file.name <> given.name AND file.name || file.suffix = given.name || given.suffix)
    INSERT INTO catalog_remotefile
           (address, item_sha256, name, size_bytes, sha256, crc32, suffix, tag, fetched_at)
    SELECT given.*, now() FROM given
        ON CONFLICT (address, item_sha256, name)
        DO UPDATE SET tag = excluded.tag, fetched_at = excluded.fetched_at
"""
