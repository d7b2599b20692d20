"""The SQL of builds."""

from catalog.storage.cache import MTIME_NS
from collections_app.selection.queries import (
    FETCHED_FILES,
    FILES_HERE,
    IS_FETCHED,
    IS_MANY_HERE,
)

# In the place of a dataset: the file is in the cache of fetched ones, by its SHA-256.
FROM_CACHE = -1

# Beside what was frozen: the archive has other bytes of these files. Those of a series are kept by
# the last part of their names.
SET_DELIVERED = """
    UPDATE collections_app_collectionitem item
       SET metadata_json = item.metadata_json || CASE
               WHEN given.files ? item.file_name
               THEN jsonb_build_object('delivered', given.files -> item.file_name)
               ELSE jsonb_build_object('delivered_files',
                        coalesce(item.metadata_json -> 'delivered_files', '{}') || (
                            SELECT jsonb_object_agg(regexp_replace(key, '^.*/', ''), value)
                              FROM jsonb_each(given.files))) END
      FROM (SELECT position, jsonb_object_agg(
                       name, jsonb_build_object('size', size, 'sha256', sha256)) AS files
              FROM unnest(%s::int[], %s::text[], %s::bigint[], %s::text[])
                   given (position, name, size, sha256)
             GROUP BY position) given
     WHERE item.collection_id = %s AND item.position = given.position
"""
FORGET_DELIVERED = """
    UPDATE collections_app_collectionitem
       SET metadata_json = metadata_json - ARRAY['delivered', 'delivered_files']
     WHERE collection_id = %s AND metadata_json ?| ARRAY['delivered', 'delivered_files']
"""
# The size and the SHA-256 (see catalog.storage.series) of series, of whose files some were changed.
SUM_DELIVERED = f"""
    UPDATE collections_app_collectionitem item
       SET metadata_json = item.metadata_json || jsonb_build_object('delivered',
               jsonb_build_object('size', given.size, 'sha256', given.sha256))
      FROM (SELECT position, sum(size) AS size,
                   encode(sha256(convert_to(string_agg(
                       sha256 || '  ' || name || chr(10), '' ORDER BY name COLLATE "C"
                   ), 'UTF8')), 'hex') AS sha256
              FROM (SELECT position, regexp_replace(file_name, '^.*/', '') AS name,
                           coalesce((delivered ->> 'size')::bigint, size_bytes) AS size,
                           coalesce(delivered ->> 'sha256', sha256) AS sha256
                      FROM (SELECT position, file_name, size_bytes, sha256, delivered
                              FROM ({FILES_HERE}) here
                             UNION ALL
                            SELECT position, file_name, size_bytes, sha256, delivered
                              FROM ({FETCHED_FILES}) fetched) files) files
             GROUP BY position) given
     WHERE item.collection_id = {{collection}} AND item.position = given.position
       AND item.metadata_json ? 'delivered_files'
    RETURNING item.position
"""  # noqa: S608 - our own words  # nosec

# Size and time show that a file is unchanged only if the catalog still has the same SHA-256.
# Foreign keys exclude a missing image; the left join would still show one. Each image is looked up
# by its key: to plan any other join, PostgreSQL would search for the largest key in each query,
# which takes as long as the query itself after many items were deleted.
FILES = f"""
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
       AND item.file_name <> '' AND NOT item.is_excluded AND NOT ({IS_FETCHED})
       AND NOT ({IS_MANY_HERE})
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
WRITTEN = f"""
    SELECT position, file_name, size_bytes, sha256
      FROM (SELECT position, file_name,
                   coalesce((metadata_json -> 'delivered' ->> 'size')::bigint, size_bytes, 0)
                       AS size_bytes,
                   coalesce(metadata_json -> 'delivered' ->> 'sha256', sha256) AS sha256
              FROM collections_app_collectionitem item
             WHERE collection_id = {{collection}} AND position BETWEEN {{first}} AND {{last}}
               AND file_name <> '' AND NOT is_excluded AND NOT ({IS_FETCHED})
               AND NOT ({IS_MANY_HERE})
             UNION ALL
            SELECT position, file_name, coalesce((delivered ->> 'size')::bigint, size_bytes),
                   coalesce(delivered ->> 'sha256', sha256)
              FROM (SELECT position, file_name, size_bytes, sha256, delivered
                      FROM ({FILES_HERE}) here
                     UNION ALL
                    SELECT position, file_name, size_bytes, sha256, delivered
                      FROM ({FETCHED_FILES}) fetched) many) files
     ORDER BY position, file_name COLLATE "C"
"""  # noqa: S608 - our own words  # nosec
