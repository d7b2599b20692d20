"""The SQL of builds."""

# Beside what was frozen: the archive has other bytes of these files.
SET_DELIVERED = """
    UPDATE collections_app_collectionitem item
       SET metadata_json = metadata_json || jsonb_build_object('delivered',
               jsonb_build_object('size', given.size, 'sha256', given.sha256))
      FROM unnest(%s::int[], %s::bigint[], %s::text[]) given (position, size, sha256)
     WHERE item.collection_id = %s AND item.position = given.position
"""

# Size and time show that a file is unchanged only if the catalog still has the same SHA-256.
# Foreign keys exclude a missing image; the left join would still show one. Each image is looked up
# by its key: to plan any other join, PostgreSQL would search for the largest key in each query,
# which takes as long as the query itself after many items were deleted.
FILES = """
    SELECT item.position, item.file_name, item.size_bytes, item.sha256,
           coalesce(image.sha256 = item.sha256, false), coalesce(image.crc32::text, ''),
           coalesce(image.mtime_ns::text, ''), coalesce(image.dataset_id, 0),
           coalesce(image.file_path, '')
      FROM collections_app_collectionitem item
      LEFT JOIN LATERAL (
           SELECT * FROM catalog_image WHERE id = item.image_id OFFSET 0) image ON true
     WHERE item.collection_id = {collection} AND item.position BETWEEN {first} AND {last}
       AND item.file_name <> '' AND NOT item.is_excluded
     ORDER BY item.position
"""
