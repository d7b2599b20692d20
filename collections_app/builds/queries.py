"""The SQL of builds."""

# Size and time tell an unchanged file only as long as the catalog means the same file. An image
# that is not there any more, which foreign keys exclude, would not be passed over in silence. Each
# is looked up by its key: to plan any other join, PostgreSQL would look for the largest key at each
# query, which takes as long as the rest of it where many items were deleted lately.
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
