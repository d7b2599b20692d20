from django.db import migrations

# What lies elsewhere and may be DICOM is counted by an import from now on; here for those before.
# The pattern is that of `catalog.querysets.MAY_BE_DICOM` at this time.
NOTE_UNCHECKED = r"""
    UPDATE catalog_dataset dataset
       SET imported_json = jsonb_set(imported_json, '{identifying}',
               '{"files": 0, "burned_in": 0, "attributes": {}}'
               || coalesce(imported_json -> 'identifying', '{}')
               || jsonb_build_object('unchecked', found.files
                      + coalesce((imported_json #>> '{identifying,unchecked}')::bigint, 0)))
      FROM (SELECT dataset_id, count(*) AS files
              FROM catalog_image
             WHERE file_path = '' AND removed_at IS NULL
               AND remote_url ~* '^(?!s3://(idc-open-data|idc-open-data-two|idc-open-data-cr)/).*(\.dcm|\.dicom|/([^/?.]|\.(?![A-Za-z]))+)$'
             GROUP BY dataset_id) found
     WHERE dataset.id = found.dataset_id
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0018_replaced_remote_files")]

    operations = [migrations.RunSQL(NOTE_UNCHECKED, migrations.RunSQL.noop)]
