"""The SQL of the freeze and of frozen items.

``{images}`` is replaced by a query, whose regular expressions may have braces; ``{collection}``,
``{first}`` and ``{last}`` are formatted; ``%s`` are parameters.
"""

from catalog.imaging.suffixes import DICOM_SUFFIXES, NO_DICOM_SUFFIXES
from catalog.querysets import sql_of_may_be_dicom
from catalog.storage.series import ENDING

# The fields of a frozen item that its archive shows.
ITEM_FIELDS = "file_name, sha256, size_bytes, metadata_json"

# In the place of the names of attributes, where nobody has looked for those that identify people.
NOT_CHECKED = "not checked"

# The folder of a series in an archive, as the IDC's own tools name it: dataset, subject, study, and
# modality with series. What of that is not known is not in the name. It may be unsafe.
_SERIES_FOLDER = """
    concat_ws('/', 'images', {dataset}, replace({subject}, '/', '_'), {study},
              concat_ws('_', upper({modality}), replace({series}, '/', '_')))
"""
# A series of files here. What else has several files, such as a volume with its sidecar, is no
# folder: they lie beside each other.
_IS_SERIES = "{num_files} > 1 AND {source} ? 'SeriesInstanceUID'"
_SERIES_HERE = _SERIES_FOLDER.format(
    dataset="shared.slug", subject="nullif(image.subject_id, '')",
    study="image.metadata_json ->> 'StudyInstanceUID'", modality="shared.modality",
    series="image.metadata_json ->> 'SeriesInstanceUID'",
)  # fmt: skip
# The path in the dataset's folder; a DICOM file without an ending gets one.
_FILE_HERE = f"""
    left('images/' || shared.slug || '/' || image.file_path
         || CASE WHEN image.metadata_json ? 'TransferSyntaxUID'
                      AND image.file_path !~ '{ENDING}'
                 THEN '.dcm' ELSE '' END, 255)
"""

# Everything that the archive says about an image is frozen with it, so that later edits of the
# catalog change no archive. Labels are frozen as metadata.csv shows them, so that a build need not
# format them: ``labels_unreviewed`` are those that wait for a curator, with their finding unless it
# is positive, and ``label_words`` the source's own words. Values that images share by their profile
# are computed once for each profile.
FREEZE = f"""
    WITH selected AS MATERIALIZED ({{images}}),
         shared AS MATERIALIZED (
             SELECT profile.id, dataset.slug, modality.code AS modality, area.code AS area,
                    view.code AS view, profile.sex, nullif(license.code, 'not-stated') AS license,
                    string_agg(label.code, '|' ORDER BY label.code COLLATE "C")
                        FILTER (WHERE label.is_active) AS labels,
                    string_agg(label.code, '|' ORDER BY label.code COLLATE "C")
                        FILTER (WHERE NOT label.is_active) AS unreviewed,
                    dense_rank() OVER (ORDER BY dataset.slug COLLATE "C") AS place
               FROM catalog_imageprofile profile
               JOIN catalog_dataset dataset ON dataset.id = profile.dataset_id
               LEFT JOIN vocab_modality modality ON modality.id = profile.modality_id
               LEFT JOIN vocab_anatomicalarea area ON area.id = profile.area_id
               LEFT JOIN vocab_viewposition view ON view.id = profile.view_id
               LEFT JOIN vocab_license license
                 ON license.id = coalesce(profile.license_id, dataset.license_id)
               LEFT JOIN unnest(profile.label_ids) found (label_id) ON true
               LEFT JOIN vocab_label label ON label.id = found.label_id
              WHERE profile.id IN (SELECT profile_id FROM selected)
              GROUP BY profile.id, dataset.slug, modality.code, area.code, view.code,
                       license.code),
         given AS (
             SELECT given.image_id,
                    string_agg(label.code, '|' ORDER BY label.code COLLATE "C")
                        FILTER (WHERE label.is_active AND given.finding = 'uncertain')
                        AS uncertain_labels,
                    string_agg(label.code, '|' ORDER BY label.code COLLATE "C")
                        FILTER (WHERE label.is_active AND given.finding = 'negative')
                        AS negative_labels,
                    string_agg(label.code || '=' || given.confidence, '|'
                               ORDER BY label.code COLLATE "C") AS label_confidence,
                    string_agg(label.code || '=' || given.finding, '|'
                               ORDER BY label.code COLLATE "C")
                        FILTER (WHERE NOT label.is_active AND given.finding <> 'positive')
                        AS unreviewed,
                    jsonb_object_agg(label.code, coalesce(given.metadata_json -> 'word',
                                     given.metadata_json -> 'words', to_jsonb(label.name)))
                        FILTER (WHERE NOT label.is_active OR given.metadata_json <> '{{}}')
                        AS words
               FROM catalog_imagelabel given
               JOIN vocab_label label ON label.id = given.label_id
              WHERE (given.finding <> 'positive' OR given.confidence IS NOT NULL
                     OR given.metadata_json <> '{{}}' OR NOT label.is_active)
                AND given.image_id IN (SELECT id FROM selected)
              GROUP BY given.image_id)
    INSERT INTO collections_app_collectionitem
           (collection_id, image_id, position, size_bytes, sha256, file_name, metadata_json,
            problem, is_excluded)
    SELECT %s, image.id,
           row_number() OVER (ORDER BY shared.place, image.source_id COLLATE "C"),
           image.size_bytes, image.sha256,
           CASE WHEN image.sha256 = '' THEN ''
                WHEN {_IS_SERIES.format(num_files="image.num_files", source="image.metadata_json")}
                THEN left({_SERIES_HERE}, 255) ELSE {_FILE_HERE} END,
           JSON_OBJECT(
               'dataset' : shared.slug, 'source_id' : image.source_id,
               'file_path' : nullif(image.file_path, ''),
               'num_files' : CASE WHEN image.sha256 <> '' AND image.num_files > 1
                                  THEN image.num_files END,
               'remote_url' : nullif(image.remote_url, ''),
               'modality' : shared.modality, 'area' : shared.area, 'view' : shared.view,
               'license' : shared.license,
               'subject_id' : nullif(image.subject_id, ''), 'sex' : nullif(shared.sex, ''),
               'age_years' : image.age_years, 'width' : image.width, 'height' : image.height,
               'labels' : shared.labels, 'uncertain_labels' : given.uncertain_labels,
               'negative_labels' : given.negative_labels,
               'label_confidence' : given.label_confidence,
               'labels_unreviewed' :
                   nullif(concat_ws('|', shared.unreviewed, given.unreviewed), ''),
               'label_words' : given.words,
               'identifying' : CASE
                   WHEN image.identifying IS NOT NULL
                   THEN nullif(array_to_string(image.identifying, '|'), '')
                   WHEN image.sha256 <> '' AND image.metadata_json ? 'TransferSyntaxUID'
                   THEN '{NOT_CHECKED}'
                   WHEN image.file_path = '' AND {sql_of_may_be_dicom("image.remote_url")}
                   THEN '{NOT_CHECKED}' END,
               'source' : nullif(image.metadata_json, '{{}}'::jsonb)
               ABSENT ON NULL RETURNING jsonb),
           '', false
      FROM selected image
      JOIN shared ON shared.id = image.profile_id
      LEFT JOIN given ON given.image_id = image.id
     ORDER BY shared.place, image.source_id COLLATE "C"
    RETURNING {ITEM_FIELDS}
"""  # noqa: S608 - our own words  # nosec

# Where an address is, as ``list_places`` names it; of what no web server lists nowhere.
_PLACE = (
    r"coalesce(substring({address} from '^(s3://[^/]+)(?:/(?!\.\.?(?:/|$))[^/*]+)+(?:/\*)?$'), "
    "substring({address} from '^(https://[^/]+)/.*[^*]$'))"
)
COUNT_TO_FETCH = f"""
    SELECT count(*), coalesce(sum(size_bytes), 0)::bigint, count(*) - count(size_bytes)
      FROM ({{images}}) selected
     WHERE {_PLACE.format(address="remote_url")} = ANY(%s)
"""  # noqa: S608 - our own words  # nosec

# The ending of a single file's address that its id does not have, such as ".nii.gz"; before or in a
# query, which keys of buckets have none of, only one of files, not ".php" nor that of a host.
_SUFFIXES = sorted({*NO_DICOM_SUFFIXES, *DICOM_SUFFIXES, ".ima"} - {".html", ".htm"})
_FILES = "|".join(each.replace(".", r"\.") for each in _SUFFIXES)
_ENDING = rf"""
    CASE WHEN metadata_json ->> 'remote_url' ~ '^https?://.*[?#]'
         THEN substring(substring(metadata_json ->> 'remote_url' from '//[^/]*(/.*)')
                        from '(?i)((?:{_FILES})(?:\.gz)?)(?:[?#&]|$)')
         ELSE substring(metadata_json ->> 'remote_url' from '(\.[A-Za-z][A-Za-z0-9]*(\.gz)?)$') END
"""
_NEW_ENDING = f"""
    CASE WHEN right(lower(metadata_json ->> 'source_id'), length({_ENDING})) <> lower({_ENDING})
         THEN {_ENDING} ELSE '' END
"""
# The id within the source, which is the series of the IDC, is always known.
_FOLDER_ELSEWHERE = _SERIES_FOLDER.format(
    dataset="metadata_json ->> 'dataset'", subject="metadata_json ->> 'subject_id'",
    study="metadata_json -> 'source' ->> 'StudyInstanceUID'",
    modality="metadata_json ->> 'modality'", series="metadata_json ->> 'source_id'",
)  # fmt: skip
NAME_ELSEWHERE = f"left({_FOLDER_ELSEWHERE} || ({_NEW_ENDING}), 255)"
NAME_TO_FETCH = f"""
    UPDATE collections_app_collectionitem
       SET file_name = {NAME_ELSEWHERE}
     WHERE collection_id = %s AND file_name = '' AND NOT is_excluded
       AND {_PLACE.format(address="metadata_json ->> 'remote_url'")} = ANY(%s)
"""  # noqa: S608 - our own words  # nosec

# An item that was fetched, or is to be: it lies elsewhere and has a name in the archive.
IS_FETCHED = (
    "item.file_name <> '' AND item.metadata_json ? 'remote_url' "
    "AND NOT item.metadata_json ? 'file_path'"
)
# Items, with what is needed of their JSON: of a series of thousands of files it may be megabytes,
# which PostgreSQL would unpack for each of them. ``OFFSET 0`` keeps it from doing so.
_ITEMS_OF_MANY = """
    (SELECT position, image_id, sha256, file_name, {fields},
            metadata_json -> 'delivered' AS delivered,
            metadata_json #> '{{{{delivered,files}}}}' AS delivered_files
       FROM collections_app_collectionitem item
      WHERE collection_id = {{collection}} AND position BETWEEN {{first}} AND {{last}}
        AND {whose} AND NOT is_excluded OFFSET 0) item
"""
# The files of fetched items. A series has a folder; what is one object has the item's own name.
_FETCHED_ITEMS = _ITEMS_OF_MANY.format(
    fields="""metadata_json ->> 'remote_url' AS remote_url,
              metadata_json ->> 'remote_url' LIKE '%/*' AS is_series""",
    whose=f"{IS_FETCHED} AND sha256 <> ''",
)
_NAME_FETCHED = """
    CASE WHEN item.is_series THEN item.file_name || '/' || file.name || file.suffix
         ELSE item.file_name END
"""
# What the archive has of one file, where that was de-identified on its way into it; nothing of a
# file that is not there any more.
_DELIVERED = """
    CASE WHEN file.id IS NULL THEN NULL
         WHEN {name} = item.file_name THEN item.delivered
         ELSE item.delivered_files -> ({name}) END AS delivered
"""
FETCHED_FILES = f"""
    SELECT item.position, item.file_name AS item_name, {_NAME_FETCHED} AS file_name,
           file.name || file.suffix AS name, 0 AS number, item.is_series AS is_one_of_many,
           file.size_bytes, file.sha256, file.crc32, {_DELIVERED.format(name=_NAME_FETCHED)}
      FROM {_FETCHED_ITEMS}
      JOIN catalog_remotefile file
        ON file.address = item.remote_url AND file.item_sha256 = item.sha256
"""  # noqa: S608 - our own words  # nosec
# An item with several files here, and these files. If the catalog now has others, there is one row
# without a path.
IS_MANY_HERE = (
    "item.file_name <> '' AND item.metadata_json ? 'file_path' AND item.metadata_json ? 'num_files'"
)
_ITEM_IS_SERIES = _IS_SERIES.format(
    num_files="(metadata_json ->> 'num_files')::int", source="metadata_json -> 'source'"
)
_ITEMS_HERE = _ITEMS_OF_MANY.format(fields=f"{_ITEM_IS_SERIES} AS is_series", whose=IS_MANY_HERE)
# Slices are in the folder of their series. The voxels of a pair have its header's name, which the
# archive may have changed, with their own ending.
_NAME_HERE = """
    CASE WHEN file.name IS NULL THEN item.file_name
         WHEN item.is_series THEN item.file_name || '/' || file.name
         WHEN file.number = 0 THEN item.file_name
         ELSE regexp_replace(item.file_name, '\\.[^./]*$', '')
              || coalesce(substring(file.name from '\\.[^./]*$'), '') END
"""
FILES_HERE = f"""
    SELECT item.position, item.file_name AS item_name, {_NAME_HERE} AS file_name,
           coalesce(file.name, '') AS name, file.number, true AS is_one_of_many,
           coalesce(file.size_bytes, 0) AS size_bytes, coalesce(file.sha256, '') AS sha256,
           file.crc32, file.mtime_ns, coalesce(image.dataset_id, 0) AS dataset_id,
           coalesce(file.path, image.file_path, '') AS path, file.id IS NOT NULL AS is_same,
           {_DELIVERED.format(name=_NAME_HERE)}
      FROM {_ITEMS_HERE}
      LEFT JOIN LATERAL (
           SELECT * FROM catalog_image WHERE id = item.image_id OFFSET 0) image ON true
      LEFT JOIN catalog_imagefile file
        ON file.image_id = image.id AND image.sha256 = item.sha256
"""  # noqa: S608 - our own words  # nosec
# The files of items that may have several, here or fetched.
HAS_MANY = f"({IS_FETCHED}) OR ({IS_MANY_HERE})"
_OF_MANY = (
    "position, item_name, file_name, name, number, is_one_of_many, size_bytes, sha256, delivered"
)
MANY_FILES = f"""
    SELECT {_OF_MANY} FROM ({FETCHED_FILES}) fetched
     UNION ALL SELECT {_OF_MANY} FROM ({FILES_HERE}) here
"""  # noqa: S608 - our own words  # nosec
# The same as they were written, where some were de-identified on their way into the archive.
DELIVERED_FILES = f"""
    SELECT position, item_name, file_name, name, number, is_one_of_many,
           coalesce((delivered ->> 'size')::bigint, size_bytes) AS size_bytes,
           coalesce(delivered ->> 'sha256', sha256) AS sha256
      FROM ({MANY_FILES}) files
"""  # noqa: S608 - our own words  # nosec
SET_FETCHED = """
    UPDATE collections_app_collectionitem item
       SET sha256 = given.sha256, size_bytes = given.size,
           file_name = CASE WHEN item.sha256 = '' THEN item.file_name || given.suffix
                            ELSE item.file_name END,
           metadata_json = metadata_json || jsonb_build_object('num_files', given.files)
      FROM unnest(%s::int[], %s::text[], %s::bigint[], %s::int[], %s::text[])
           given (position, sha256, size, files, suffix)
     WHERE item.collection_id = %s AND item.position = given.position
"""

# One of the freezes that may run at a time.
LOCK_QUOTA = "SELECT pg_advisory_xact_lock(hashtextextended('quota of user ' || %s, 0))"
TRY_QUOTA = "SELECT pg_try_advisory_xact_lock(hashtextextended('quota of user ' || %s, 0))"
TRY_SLOT = "SELECT pg_try_advisory_xact_lock(hashtextextended('freeze ' || %s, 0))"
# Of the images with a file here: how many have the bytes of another one, and how many of these that
# of another dataset.
SAME_BYTES = """
    SELECT coalesce(sum(images), 0)::bigint,
           coalesce(sum(images) FILTER (WHERE has_datasets), 0)::bigint
      FROM (SELECT count(*) AS images, min(dataset_id) <> max(dataset_id) AS has_datasets
              FROM ({images}) selected
             GROUP BY sha256 HAVING count(*) > 1) same
"""

# What the archive has, or tells the address of.
_INCLUDED = """
      FROM collections_app_collectionitem
     WHERE collection_id = %s AND NOT is_excluded
       AND (file_name <> '' OR metadata_json ? 'remote_url')
"""
COUNT_IDENTIFYING = f"""
    SELECT count(*) FILTER (WHERE metadata_json ->> 'identifying' <> '{NOT_CHECKED}'),
           count(*) FILTER (WHERE metadata_json -> 'source' ->> 'BurnedInAnnotation' = 'YES'),
           count(*) FILTER (WHERE metadata_json ->> 'identifying' = '{NOT_CHECKED}')
    {_INCLUDED}
"""
IDENTIFYING_NAMES = f"""
    SELECT name, count(*)
      FROM (SELECT string_to_table(metadata_json ->> 'identifying', '|') AS name {_INCLUDED}) found
     WHERE name <> '{NOT_CHECKED}'
     GROUP BY name ORDER BY count(*) DESC, name COLLATE "C" LIMIT 100
"""  # noqa: S608 - our own words  # nosec

# In the order of their keys, as imports lock the images that they delete.
LOCK_IMAGES = """
    SELECT count(*) FROM (
        SELECT FROM catalog_image
         WHERE id IN (SELECT image_id FROM collections_app_collectionitem
                       WHERE collection_id = %s)
         ORDER BY id FOR KEY SHARE) locked
"""

# As ITEM_FIELDS; what was delivered by a build is no part of what was frozen.
ITEMS = """
    SELECT file_name, sha256, size_bytes, metadata_json - 'delivered'
      FROM collections_app_collectionitem
     WHERE collection_id = {collection} AND position BETWEEN {first} AND {last}
     ORDER BY position
"""

# Codes of labels in the items, whatever the source says of them.
LABEL_CODES = """
    SELECT DISTINCT unnest(string_to_array(codes, '|'))
      FROM (SELECT DISTINCT concat_ws('|', metadata_json ->> 'labels',
                                      metadata_json ->> 'uncertain_labels',
                                      metadata_json ->> 'negative_labels',
                                      regexp_replace(metadata_json ->> 'labels_unreviewed',
                                                     '=[a-z]+', '', 'g')) AS codes
              FROM collections_app_collectionitem WHERE collection_id = %s) lists
"""

# Names that the sources give to what they say of the images, the most frequent first.
SOURCE_NAMES = """
    SELECT name FROM collections_app_collectionitem,
                     jsonb_object_keys(metadata_json -> 'source') name
     WHERE collection_id = %s
     GROUP BY name ORDER BY count(*) DESC, name COLLATE "C"
"""

SET_TEXTS = """
    UPDATE collections_app_collectionitem item SET {column} = given.value
      FROM unnest(%s::int[], %s::text[]) given (position, value)
     WHERE item.collection_id = %s AND item.position = given.position
       AND item.{column} <> given.value
"""
