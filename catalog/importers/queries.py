"""The SQL of an import: temporary tables, and the merge into the catalog."""

from catalog.querysets import sql_of_may_be_dicom

DROP_TABLES = "DROP TABLE IF EXISTS staged_image, staged_reject"

MAKE_TABLES = f"""
    {DROP_TABLES};
    CREATE TEMP TABLE staged_image ({{columns}});
    CREATE TEMP TABLE staged_reject (source_id text);
"""

# Labels that somebody else has added meanwhile take the place of reserved ids; of two findings of
# one label the stronger one stays.
USE_OTHER_LABELS = """
    UPDATE staged_image staged
       SET label_ids = given.label_ids, findings = given.findings,
           confidences = given.confidences, label_metadata = given.label_metadata,
           positive_ids = given.positive_ids
      FROM (SELECT n, array_agg(label_id ORDER BY label_id) AS label_ids,
                   array_agg(finding ORDER BY label_id) AS findings,
                   array_agg(confidence ORDER BY label_id) AS confidences,
                   array_agg(metadata ORDER BY label_id) AS label_metadata,
                   coalesce(array_agg(label_id ORDER BY label_id)
                            FILTER (WHERE finding = 'positive'), '{}') AS positive_ids
              FROM (SELECT DISTINCT ON (n, label_id) *
                      FROM (SELECT n, coalesce(other.id, given.label_id) AS label_id, finding,
                                   confidence,
                                   CASE WHEN other.word IS NULL OR metadata <> '{}' THEN metadata
                                        ELSE jsonb_build_object('word', other.word) END AS metadata
                              FROM staged_image
                             CROSS JOIN unnest(label_ids, findings, confidences, label_metadata)
                                        given (label_id, finding, confidence, metadata)
                              LEFT JOIN unnest(%(reserved)s::bigint[], %(ids)s::bigint[],
                                               %(words)s::text[]) other (reserved, id, word)
                                     ON other.reserved = given.label_id
                             WHERE label_ids && %(reserved)s::bigint[]) named
                     ORDER BY n, label_id,
                              array_position(ARRAY['positive', 'uncertain', 'negative'], finding),
                              confidence DESC NULLS LAST) one
             GROUP BY n) given
     WHERE given.n = staged.n
"""

FIND_DUPLICATES = """
    DROP TABLE IF EXISTS staged_duplicate;
    CREATE TEMP TABLE staged_duplicate ON COMMIT DROP AS
    SELECT staged.n, staged.line, staged.source_id, first.line AS first_line
      FROM (SELECT source_id, min(n) AS n FROM staged_image
             GROUP BY source_id HAVING count(*) > 1) kept
      JOIN staged_image first ON first.n = kept.n
      JOIN staged_image staged ON staged.source_id = kept.source_id AND staged.n > kept.n;
"""

# The planner's join methods are set here, as its statistics of the catalog are from before the
# import. First whole tables are compared, with memory to hash them; then single rows are fetched.
BY_TABLE = """
    SET LOCAL work_mem = '128MB';
    SET LOCAL enable_nestloop = off; SET LOCAL enable_hashjoin = on;
    SET LOCAL enable_mergejoin = off
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
MATCH = """
    CREATE TEMP TABLE staged_match ON COMMIT DROP AS
    SELECT image.id, staged.n, image.source_id, image.profile_id,
           image.removed_at IS NOT NULL AS was_removed,
           image.removed_at IS NOT NULL OR ({image}) IS DISTINCT FROM ({staged})
           OR (staged.files IS NOT NULL AND staged.files IS DISTINCT FROM
               (SELECT jsonb_agg(jsonb_build_array({file}) ORDER BY number)
                  FROM catalog_imagefile WHERE image_id = image.id)) AS is_changed
      FROM catalog_image image
      LEFT JOIN staged_image staged ON staged.source_id = image.source_id
     WHERE image.dataset_id = {dataset}
"""

# Their labels, in the staged form. A dataset's images were inserted together, so the range between
# its first and last id has few labels of other datasets.
GIVEN = """
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
# The dataset's are constants: of a join with its row the planner expects one row in all, and then
# looks that row up once for each image.
STAGED = """
    staged_image staged
    CROSS JOIN (VALUES ({dataset}::bigint, {area}::bigint)) dataset (id, area_id)
    CROSS JOIN LATERAL (SELECT {key}) key
"""

# For each row the id of its image, new if needed, and its profile. Only these few columns are
# sorted, and the rows are fetched in that order: sorting whole rows takes longer than writing them.
# Profile and row make one number, as two are compared half as fast.
PLACE = """
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
      JOIN (SELECT *, row_number() OVER (ORDER BY id) AS place FROM catalog_imageprofile
             WHERE dataset_id = {dataset}) profile ON {same}
      LEFT JOIN staged_match known ON known.n = staged.n
      LEFT JOIN staged_given given ON given.image_id = known.id
     ORDER BY (profile.place << 32) + staged.n
"""

COUNT_PLACED = """
    SELECT count(*) FILTER (WHERE is_changed OR is_relabeled),
           count(*) FILTER (WHERE NOT is_changed AND NOT is_relabeled)
      FROM staged_place WHERE NOT is_new
"""

UPDATE = """
    UPDATE catalog_image image
       SET {assignments}, profile_id = place.profile_id, removed_at = NULL, updated_at = now()
      FROM staged_place place
      JOIN staged_image staged ON staged.ctid = place.row
     WHERE image.id = place.image_id AND NOT place.is_new
       AND (place.is_changed OR place.is_relabeled OR place.is_moved)
"""

INSERT = """
    INSERT INTO catalog_image
           (id, dataset_id, source_id, {columns}, profile_id, created_at, updated_at)
    SELECT place.image_id, {dataset}, staged.source_id, {values}, place.profile_id, now(), now()
      FROM staged_place place
      JOIN staged_image staged ON staged.ctid = place.row
     WHERE place.is_new
"""

DROP_FILES = """
    DELETE FROM catalog_imagefile
     WHERE image_id IN (SELECT image_id FROM staged_place WHERE NOT is_new AND is_changed)
"""

ADD_FILES = """
    INSERT INTO catalog_imagefile (image_id, number, {columns})
    SELECT place.image_id, file.number - 1, {values}
      FROM staged_place place
      JOIN staged_image staged ON staged.ctid = place.row
     CROSS JOIN LATERAL jsonb_array_elements(staged.files)
                        WITH ORDINALITY file (fields, number)
     WHERE place.is_new OR place.is_changed
"""

DROP_LABELS = """
    DELETE FROM catalog_imagelabel
     WHERE image_id IN (SELECT image_id FROM staged_place WHERE is_relabeled)
"""

ADD_LABELS = """
    INSERT INTO catalog_imagelabel (image_id, label_id, finding, confidence, metadata_json)
    SELECT place.image_id, unnest(staged.label_ids), unnest(staged.findings),
           unnest(staged.confidences), unnest(staged.label_metadata)
      FROM staged_place place
      JOIN staged_image staged ON staged.ctid = place.row
     WHERE {whose} AND place.has_labels
"""

# One row for each file that several staged images have; an image's split is '' if it has none.
# Only of these few the metadata are looked at.
FIND_SAME_BYTES = """
    DROP TABLE IF EXISTS staged_same;
    CREATE TEMP TABLE staged_same ON COMMIT DROP AS
    SELECT sha256, count(*) AS images, min(n) AS n,
           count(DISTINCT coalesce(staged.metadata_json->>'split', '')) > 1 AS has_splits
      FROM (SELECT sha256 FROM staged_image WHERE sha256 <> ''
             GROUP BY sha256 HAVING count(*) > 1) same
      JOIN staged_image staged USING (sha256)
     GROUP BY sha256
"""

COUNT_SAME_BYTES = """
    SELECT coalesce(sum(images), 0)::bigint,
           coalesce(sum(images) FILTER (WHERE has_splits), 0)::bigint
      FROM staged_same
"""

SHOW_SAME_BYTES = """
    SELECT (array_agg(staged.source_id ORDER BY staged.n))[:3]
      FROM (SELECT * FROM staged_same ORDER BY has_splits DESC, n LIMIT %s) same
      JOIN staged_image staged USING (sha256)
     GROUP BY same.has_splits, same.n ORDER BY same.has_splits DESC, same.n
"""

# One row for each staged file and other dataset that has it. Images of datasets that nobody can see
# do not count.
FIND_BYTES_ELSEWHERE = """
    DROP TABLE IF EXISTS staged_elsewhere;
    CREATE TEMP TABLE staged_elsewhere ON COMMIT DROP AS
    SELECT image.sha256, dataset.slug,
           (array_agg(image.source_id ORDER BY image.id))[1] AS source_id
      FROM (SELECT DISTINCT sha256 FROM staged_image WHERE sha256 <> '') staged
      JOIN catalog_image image ON image.sha256 = staged.sha256
      JOIN catalog_dataset dataset ON dataset.id = image.dataset_id
     WHERE image.sha256 <> '' AND image.removed_at IS NULL
       AND dataset.is_active AND dataset.id <> %s
     GROUP BY image.sha256, dataset.slug
"""

COUNT_BYTES_ELSEWHERE = """
    SELECT count(*), other.slug,
           (array_agg(staged.source_id ORDER BY staged.n))[1],
           (array_agg(other.source_id ORDER BY staged.n))[1]
      FROM staged_elsewhere other
      JOIN staged_image staged USING (sha256)
     GROUP BY other.slug ORDER BY count(*) DESC, other.slug
"""

# One row for each file; of the others only the first are named.
LIST_SAME_BYTES = """
    SELECT staged.file_path, staged.line, coalesce(here.has_splits, false), here.names,
           elsewhere.names
      FROM staged_image staged
      LEFT JOIN (SELECT same.sha256, bool_or(same.has_splits) AS has_splits,
                        (array_agg(staged.file_path ORDER BY staged.n))[:%s] AS names
                   FROM staged_same same JOIN staged_image staged USING (sha256)
                  GROUP BY same.sha256) here USING (sha256)
      LEFT JOIN (SELECT sha256, array_agg(slug || ': ' || source_id ORDER BY slug) AS names
                   FROM staged_elsewhere GROUP BY sha256) elsewhere USING (sha256)
     WHERE here.sha256 IS NOT NULL OR elsewhere.sha256 IS NOT NULL
     ORDER BY staged.n
"""

HAS_IDENTIFYING = f"""
    SELECT EXISTS (SELECT FROM staged_image
                    WHERE identifying IS NOT NULL
                       OR (file_path = '' AND {sql_of_may_be_dicom("remote_url")})
                       OR metadata_json ->> 'BurnedInAnnotation' = 'YES')
"""  # noqa: S608 - our own words  # nosec

COUNT_IDENTIFYING = """
    SELECT unnest(identifying) AS name, count(*) FROM catalog_image
     WHERE dataset_id = %s AND removed_at IS NULL
     GROUP BY name ORDER BY count(*) DESC, name LIMIT 100
"""

# The terms that staged rows have. The rows, which are long, are read only once for them.
FIND_TERMS = """
    DROP TABLE IF EXISTS staged_terms, staged_term, staged_label;
    CREATE TEMP TABLE staged_terms ON COMMIT DROP AS
    SELECT DISTINCT modality_id, area_id, license_id, view_id, label_ids FROM staged_image;
    CREATE TEMP TABLE staged_term ON COMMIT DROP AS
    SELECT DISTINCT modality_id, area_id, license_id, view_id FROM staged_terms;
    CREATE TEMP TABLE staged_label ON COMMIT DROP AS
    SELECT DISTINCT unnest(label_ids) AS label_id FROM staged_terms
"""

COUNT_DANGLING = """
    SELECT count(*) FILTER (
        WHERE NOT EXISTS (SELECT FROM catalog_dataset WHERE id = {dataset})
           OR modality_id IS NOT NULL
              AND NOT EXISTS (SELECT FROM vocab_modality WHERE id = modality_id)
           OR area_id IS NOT NULL
              AND NOT EXISTS (SELECT FROM vocab_anatomicalarea WHERE id = area_id)
           OR license_id IS NOT NULL
              AND NOT EXISTS (SELECT FROM vocab_license WHERE id = license_id)
           OR view_id IS NOT NULL
              AND NOT EXISTS (SELECT FROM vocab_viewposition WHERE id = view_id))
      FROM staged_term
"""

COUNT_DANGLING_LABELS = """
    SELECT count(*) FROM staged_label
     WHERE NOT EXISTS (SELECT FROM vocab_label label WHERE label.id = staged_label.label_id)
"""

FIND_REMOVED = """
    CREATE TEMP TABLE staged_removed ON COMMIT DROP AS
    SELECT id, was_removed FROM staged_match known
     WHERE n IS NULL
       AND NOT EXISTS (SELECT FROM staged_reject bad WHERE bad.source_id = known.source_id)
"""

COUNT_REMOVED = """
    SELECT (SELECT count(*) FROM staged_removed WHERE NOT was_removed),
           (SELECT count(*) FROM staged_match WHERE NOT was_removed)
"""

# A transaction that adds one of them to a collection is either seen by the next statement, or waits
# for this one and then finds the image deleted.
LOCK_REMOVED = """
    SELECT count(*)
      FROM (SELECT FROM catalog_image
             WHERE id IN (SELECT id FROM staged_removed) ORDER BY id FOR UPDATE) locked
"""

RELEASED = """
    (SELECT id FROM staged_removed removed WHERE true{unheld})
"""
