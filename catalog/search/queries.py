"""The SQL of search."""

# Titles weigh most, then the terms and their aliases, then prose.
REFRESH = """
    WITH words AS (
        SELECT dataset.id,
               concat_ws(' ', area.name, (SELECT string_agg(text, ' ')
                   FROM vocab_anatomicalareaalias WHERE term_id = area.id)) AS area,
               concat_ws(' ', license.name, (SELECT string_agg(text, ' ')
                   FROM vocab_licensealias WHERE term_id = license.id)) AS license,
               (SELECT string_agg(concat_ws(' ', t.name, a.text), ' ')
                  FROM catalog_dataset_modalities m
                  JOIN vocab_modality t ON t.id = m.modality_id AND t.is_active
                  LEFT JOIN vocab_modalityalias a ON a.term_id = t.id
                 WHERE m.dataset_id = dataset.id) AS modalities,
               (SELECT string_agg(concat_ws(' ', t.name, a.text), ' ')
                  FROM catalog_dataset_task_types m
                  JOIN vocab_tasktype t ON t.id = m.tasktype_id AND t.is_active
                  LEFT JOIN vocab_tasktypealias a ON a.term_id = t.id
                 WHERE m.dataset_id = dataset.id) AS task_types,
               (SELECT string_agg(concat_ws(' ', t.name, a.text), ' ')
                  FROM catalog_dataset_tags m
                  JOIN vocab_tag t ON t.id = m.tag_id AND t.is_active
                  LEFT JOIN vocab_tagalias a ON a.term_id = t.id
                 WHERE m.dataset_id = dataset.id) AS tags
          FROM catalog_dataset dataset
          LEFT JOIN vocab_anatomicalarea area ON area.id = dataset.area_id AND area.is_active
          LEFT JOIN vocab_license license ON license.id = dataset.license_id AND license.is_active
         WHERE dataset.id = ANY(%(ids)s)
    )
    UPDATE catalog_dataset dataset
       SET search_vector =
           setweight(to_tsvector('english', dataset.title || ' ' || dataset.slug), 'A')
        || setweight(to_tsvector('english', concat_ws(' ', words.area, words.modalities,
               words.task_types, words.tags, words.license)), 'B')
        || setweight(to_tsvector('english', dataset.description), 'C')
        || setweight(to_tsvector('english', dataset.citation || ' ' || dataset.doi), 'D')
      FROM words
     WHERE words.id = dataset.id
"""

PROFILES = """
    SELECT dataset_id, id, coalesce(area_id, 0), coalesce(modality_id, 0), label_ids::text, sex,
           coalesce(age_band, %s), is_local::int, coalesce(license_id, 0), num_images, num_bytes
      FROM catalog_imageprofile
     WHERE dataset_id = ANY(%s) AND num_images > 0
     ORDER BY dataset_id, id
"""
