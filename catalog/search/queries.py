"""The SQL of search."""


def _terms_of(relation: str, term: str) -> str:
    """Selects the names of a dataset's active terms as one text.

    Not their aliases, which no page shows: by one, every CT would be "axial".
    """
    return f"""SELECT string_agg(t.name, ' ' ORDER BY t.id)
                  FROM {relation} m
                  JOIN vocab_{term} t ON t.id = m.{term}_id AND t.is_active
                 WHERE m.dataset_id = dataset.id"""  # noqa: S608 - names of tables that stand below  # nosec


# Titles weigh most, then the terms, then prose. Who searches for a broader term
# finds the datasets of narrower ones as well, but after its own. UNION ends at a circle. The words
# have an order, so that the same words make the same vector: a dataset whose row is written gets a
# new version, which every process loads anew.
REFRESH = f"""
    WITH RECURSIVE areas AS (
        SELECT id, broader_id FROM vocab_anatomicalarea WHERE is_active
         UNION
        SELECT areas.id, above.broader_id
          FROM areas JOIN vocab_anatomicalarea above ON above.id = areas.broader_id),
    modalities AS (
        SELECT id, broader_id FROM vocab_modality WHERE is_active
         UNION
        SELECT modalities.id, above.broader_id
          FROM modalities JOIN vocab_modality above ON above.id = modalities.broader_id),
    shown_areas AS (
        SELECT id AS dataset_id, area_id AS anatomicalarea_id FROM catalog_dataset
         WHERE id = ANY(%(ids)s) AND area_id IS NOT NULL
         UNION
        SELECT dataset_id, anatomicalarea_id FROM catalog_dataset_other_areas
         WHERE dataset_id = ANY(%(ids)s)),
    words AS (
        SELECT dataset.id,
               concat_ws(' ',
                   (SELECT string_agg(t.name, ' ' ORDER BY t.id)
                      FROM (SELECT DISTINCT areas.broader_id AS id
                              FROM shown_areas m
                              JOIN areas ON areas.id = m.anatomicalarea_id
                             WHERE m.dataset_id = dataset.id) above
                      JOIN vocab_anatomicalarea t ON t.id = above.id AND t.is_active),
                   (SELECT string_agg(t.name, ' ' ORDER BY t.id)
                      FROM catalog_dataset_modalities m
                      JOIN modalities ON modalities.id = m.modality_id
                      JOIN vocab_modality t ON t.id = modalities.broader_id AND t.is_active
                     WHERE m.dataset_id = dataset.id)) AS broader,
               ({_terms_of("shown_areas", "anatomicalarea")}) AS areas,
               ({_terms_of("catalog_dataset_labels", "label")}) AS labels,
               license.name AS license,
               ({_terms_of("catalog_dataset_modalities", "modality")}) AS modalities,
               ({_terms_of("catalog_dataset_task_types", "tasktype")}) AS task_types,
               ({_terms_of("catalog_dataset_tags", "tag")}) AS tags
          FROM catalog_dataset dataset
          LEFT JOIN vocab_license license ON license.id = dataset.license_id AND license.is_active
         WHERE dataset.id = ANY(%(ids)s)
    ),
    vectors AS MATERIALIZED (
        SELECT dataset.id,
               setweight(to_tsvector('english', dataset.title || ' ' || dataset.slug), 'A')
            || setweight(to_tsvector('english', concat_ws(' ', words.areas, words.modalities,
                   words.task_types, words.labels, words.tags, words.license)), 'B')
            || setweight(to_tsvector('english', concat_ws(' ', words.broader,
                   dataset.description, array_to_string(dataset.parts, ' '))), 'C')
            || setweight(to_tsvector('english', dataset.citation || ' ' || dataset.doi), 'D')
               AS vector
          FROM catalog_dataset dataset JOIN words ON words.id = dataset.id)
    UPDATE catalog_dataset dataset SET search_vector = vectors.vector
      FROM vectors
     WHERE vectors.id = dataset.id AND dataset.search_vector IS DISTINCT FROM vectors.vector
"""  # noqa: S608 - nothing in it but what stands here  # nosec

# The names are those of ``ProfileColumns`` and ``AgeColumns``.
PROFILES = """
    SELECT dataset_id, id, coalesce(area_id, 0) AS area, coalesce(modality_id, 0) AS modality,
           label_ids::text AS label_set, sex, coalesce(age_band, %s) AS age,
           availability AS local, coalesce(license_id, 0) AS license,
           coalesce(view_id, 0) AS view, num_images, num_bytes, cardinality(ages) AS num_ages,
           array_to_string(profile.ages, ',') AS ages,
           array_to_string(profile.age_images, ',') AS age_images,
           array_to_string(profile.age_bytes, ',') AS age_bytes
      FROM catalog_imageprofile profile
     WHERE dataset_id = ANY(%s) AND num_images > 0
     ORDER BY dataset_id, id
"""

# The datasets whose texts meet each clause in any of its wordings, or with a word that begins with
# its root; and how well they meet the typed wording.
# A clause without a word that can be searched for ("with") has no nodes. Weights: D, C, B, A.
RANK_CLAUSES = """
    WITH clause AS MATERIALIZED (
        SELECT number, websearch_to_tsquery('english', typed) AS typed,
               CASE WHEN root = '' OR numnode(websearch_to_tsquery('english', typed)) = 0
                    THEN websearch_to_tsquery('english', wordings)
                    ELSE websearch_to_tsquery('english', wordings) || to_tsquery('simple', root)
               END AS any_wording
          FROM unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY
               AS given(wordings, typed, root, number)
    )
    SELECT clause.number, numnode(clause.any_wording), dataset.id,
           ts_rank('{0.05, 0.15, 0.5, 1.0}', dataset.search_vector, clause.typed)
      FROM clause
      LEFT JOIN catalog_dataset dataset
        ON dataset.is_active AND dataset.search_vector @@ clause.any_wording
"""

# What is looked for instead of each word of texts: its stem, or nothing. Parts of words joined by
# signs are others than these.
STEMS = """
    SELECT given.text, token, coalesce(lexemes[1], '')
      FROM unnest(%s::text[]) AS given(text), ts_debug('english', given.text)
     WHERE alias IN ('asciiword', 'word')
"""

# The profiles with images whose own texts have the words, and the numbers of these images.
COUNT_BY_TEXT = """
    SELECT coalesce(string_agg(profile_id::text, ','), ''),
           coalesce(string_agg(images::text, ','), '')
      FROM (SELECT profile_id, sum(num_images) AS images FROM catalog_profiletext
             WHERE words @@ %s::tsquery
             GROUP BY profile_id) counted
"""

FIND_TEXTS = """
    SELECT coalesce(array_agg(DISTINCT text_key), '{}')::text FROM catalog_profiletext
     WHERE words @@ %s::tsquery
"""

# Nothing is told of the texts of datasets that are hidden.
HAS_TEXT = """
    SELECT EXISTS (
        SELECT FROM catalog_profiletext text
          JOIN catalog_imageprofile profile ON profile.id = text.profile_id
          JOIN catalog_dataset dataset ON dataset.id = profile.dataset_id AND dataset.is_active
         WHERE text.words @@ %s::tsquery)
"""

FIND_TEXTS_OF_PROFILES = f"{FIND_TEXTS} AND profile_id = ANY(%s)"
