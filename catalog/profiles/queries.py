"""The SQL of image profiles."""

from catalog.ages import COMPLETED_AGE

KEY = """
    dataset.id AS dataset_id,
    coalesce({row}.area_id, dataset.area_id) AS area_id,
    {row}.modality_id,
    coalesce({labels}, '{{}}'::bigint[]) AS label_ids,
    {row}.sex,
    (floor({row}.age_years / 10) * 10)::smallint AS age_band,
    CASE WHEN {row}.file_path <> '' THEN 'here' WHEN {row}.remote_url <> '' THEN 'elsewhere'
         ELSE 'listed' END AS availability,
    {row}.license_id,
    {row}.view_id
"""

# Their names, in the order of KEY.
KEY_COLUMNS = """dataset_id, area_id, modality_id, label_ids, sex, age_band, availability,
    license_id, view_id"""

# Equality of all columns, NULLs included, in a form that allows a hash join. No id is 0.
SAME_KEY = """
        profile.dataset_id = key.dataset_id
    AND coalesce(profile.area_id, 0) = coalesce(key.area_id, 0)
    AND coalesce(profile.modality_id, 0) = coalesce(key.modality_id, 0)
    AND profile.label_ids = key.label_ids
    AND profile.sex = key.sex
    AND coalesce(profile.age_band, -1) = coalesce(key.age_band, -1)
    AND profile.availability = key.availability
    AND coalesce(profile.license_id, 0) = coalesce(key.license_id, 0)
    AND coalesce(profile.view_id, 0) = coalesce(key.view_id, 0)
"""

# The keys of images in the catalog, by image; ``{scope}`` selects the ids of the images.
KEYS_OF_IMAGES = """
    SELECT image.id AS image_id, image.profile_id AS old_profile_id, image.size_bytes,
           image.age_years, {key}
      FROM catalog_image image
      JOIN catalog_dataset dataset ON dataset.id = image.dataset_id
      LEFT JOIN (
            SELECT image_id, array_agg(label_id ORDER BY label_id) AS label_ids
              FROM catalog_imagelabel
             WHERE finding = 'positive' AND image_id IN ({scope})
             GROUP BY image_id
           ) found ON found.image_id = image.id
     WHERE image.removed_at IS NULL AND image.id IN ({scope})
"""

LOCK = """
    SELECT pg_advisory_xact_lock(hashtextextended('profiles of dataset ' || id, 0))
      FROM (SELECT unnest(%s::bigint[]) AS id ORDER BY id) wanted
"""

SHARE = """
    SELECT coalesce(bool_and(pg_try_advisory_xact_lock_shared(
               hashtextextended('profiles of dataset ' || id, 0))), true)
      FROM (SELECT unnest(%s::bigint[]) AS id ORDER BY id) wanted
"""

ADD = f"""
    INSERT INTO catalog_imageprofile
           ({KEY_COLUMNS}, num_images, num_bytes, ages, age_images, age_bytes)
    SELECT key.*, 0, 0, '{{{{}}}}', '{{{{}}}}', '{{{{}}}}'
      FROM (SELECT DISTINCT {KEY_COLUMNS} FROM {{keys}}) key
     WHERE NOT EXISTS (SELECT FROM catalog_imageprofile profile
                        WHERE profile.dataset_id = ANY(%s) AND {{same}})
"""  # noqa: S608 - our own words  # nosec

POINT_IMAGES = """
    UPDATE catalog_image image SET profile_id = profile.id
      FROM profile_keys key
      JOIN catalog_imageprofile profile ON {same}
     WHERE image.id = key.image_id AND image.profile_id IS DISTINCT FROM profile.id
"""

TOUCHED = """
    SELECT old_profile_id AS id FROM profile_keys WHERE old_profile_id IS NOT NULL
    UNION
    SELECT profile_id FROM catalog_image
     WHERE id IN (SELECT image_id FROM profile_keys)
"""

_AGE = f"({COMPLETED_AGE})::smallint"
# What a profile says of its images, from their numbers and bytes by completed age.
_SUMS = """
    sum(images) AS num_images, sum(bytes) AS num_bytes, array_agg(age ORDER BY age) AS ages,
    array_agg(images ORDER BY age) AS age_images, array_agg(bytes ORDER BY age) AS age_bytes
"""
_EQUAL_SUMS = " AND ".join(
    f"profile.{name} = key.{name}"
    for name in ("num_images", "num_bytes", "ages", "age_images", "age_bytes")
)

# Here the images of each profile are looked up by index, whatever the planner knows of new ones: of
# rows that others write it may know the pages and take them for empty. Profiles without images get
# no numbers; they are deleted next.
COUNT = f"""
    UPDATE catalog_imageprofile profile
       SET num_images = key.num_images, num_bytes = key.num_bytes, ages = key.ages,
           age_images = key.age_images, age_bytes = key.age_bytes
      FROM (SELECT id, {_SUMS}
              FROM (SELECT touched.id, age, count(*)::int AS images,
                           coalesce(sum(size_bytes), 0)::bigint AS bytes
                      FROM ({{touched}}) touched
                     CROSS JOIN LATERAL (
                           SELECT {_AGE.format(age="image.age_years")} AS age, image.size_bytes
                             FROM catalog_image image
                            WHERE image.profile_id = touched.id OFFSET 0) image
                     GROUP BY 1, 2) by_age
             GROUP BY id) key
     WHERE key.id = profile.id AND profile.id = ANY (ARRAY({{touched}})) AND NOT ({_EQUAL_SUMS})
"""  # noqa: S608 - our own words  # nosec

# The own texts of the images of profiles: how many images have the same, and their words.
DROP_TEXTS = "DELETE FROM catalog_profiletext WHERE profile_id = ANY (ARRAY({touched}))"

COUNT_TEXTS = """
    WITH counted AS MATERIALIZED (
        SELECT touched.id AS profile_id, text.*
          FROM ({touched}) touched
         CROSS JOIN LATERAL (
               SELECT text_key, count(*)::int AS num_images, min(image.id) AS example
                 FROM catalog_image image
                WHERE image.profile_id = touched.id AND text_key IS NOT NULL
                GROUP BY text_key) text),
    read AS MATERIALIZED (
        SELECT text_key, (SELECT catalog_words(catalog_image_text(metadata_json))
                            FROM catalog_image WHERE id = one.example) AS words
          FROM (SELECT text_key, min(example) AS example FROM counted GROUP BY text_key) one)
    INSERT INTO catalog_profiletext (profile_id, text_key, num_images, words)
    SELECT profile_id, text_key, num_images, words FROM counted JOIN read USING (text_key)
"""

DROP_EMPTY = """
    DELETE FROM catalog_imageprofile profile
     WHERE dataset_id = ANY(%s)
       AND NOT EXISTS (SELECT FROM catalog_image image
                        WHERE image.profile_id = profile.id OFFSET 0)
"""

# The size in MB that a dataset states; NULL if no size is known.
SIZE_MB = """
    CASE WHEN {num_bytes} > 0
         THEN least(greatest(1, round({num_bytes} / 1e6)), 2147483647)::int END
"""

# A trigger gives every updated row a version that no row had before. The publisher's numbers stay
# until there are images to count.
TOUCH = """
    UPDATE catalog_dataset dataset
       SET version = 0, updated_at = now(),
           num_images = coalesce(counted.num_images, dataset.num_images),
           size_mb = coalesce({size_mb}, dataset.size_mb)
      FROM unnest(%(ids)s::bigint[]) touched (id)
      LEFT JOIN (SELECT dataset_id, sum(num_images) AS num_images, sum(num_bytes) AS num_bytes
                   FROM catalog_imageprofile WHERE dataset_id = ANY(%(ids)s)
                  GROUP BY dataset_id) counted ON counted.dataset_id = touched.id
     WHERE dataset.id = touched.id
"""

# Profiles are derived from the images again and compared with the stored ones. A profile is wrong
# when it is missing, is stored with other numbers, or is stored and no image has it.
PROFILES = f"""
    WITH image_key AS MATERIALIZED ({{keys}}),
    by_age AS (
        SELECT {KEY_COLUMNS}, {_AGE.format(age="age_years")} AS age, count(*)::int AS images,
               coalesce(sum(size_bytes), 0)::bigint AS bytes
          FROM image_key
         GROUP BY {KEY_COLUMNS}, age
    ),
    key AS (SELECT {KEY_COLUMNS}, {_SUMS} FROM by_age GROUP BY {KEY_COLUMNS}),
    stored AS (SELECT * FROM catalog_imageprofile WHERE dataset_id = ANY(%(ids)s))
    SELECT dataset.id, dataset.slug,
           (SELECT count(*) FROM key FULL JOIN stored profile ON {{same}}
             WHERE ({_EQUAL_SUMS}) IS NOT TRUE),
           (SELECT count(*) FROM image_key key
              LEFT JOIN stored profile ON profile.id = key.old_profile_id
             WHERE ({{same}}) IS NOT TRUE),
           (SELECT count(*) FROM catalog_image
             WHERE dataset_id = ANY(%(ids)s) AND removed_at IS NOT NULL AND profile_id IS NOT NULL),
           (SELECT count(*)
              FROM (SELECT profile_id, text_key, count(*) AS num_images FROM catalog_image
                     WHERE dataset_id = ANY(%(ids)s) AND profile_id IS NOT NULL
                       AND text_key IS NOT NULL
                     GROUP BY profile_id, text_key) given
              FULL JOIN (SELECT kept.profile_id, kept.text_key, kept.num_images
                           FROM catalog_profiletext kept JOIN stored ON stored.id = kept.profile_id
                        ) kept USING (profile_id, text_key)
             WHERE given.num_images IS DISTINCT FROM kept.num_images),
           dataset.num_images,
           (SELECT count(*) FROM image_key),
           dataset.size_mb,
           (SELECT {{size_mb}} FROM image_key)
      FROM catalog_dataset dataset
     WHERE dataset.id = ANY(%(ids)s)
"""  # noqa: S608 - our own words  # nosec
