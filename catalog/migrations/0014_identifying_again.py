from django.db import migrations

# Names were not seen where an element had another kind of value than its tag, or stood behind the
# pixels. What was found without any is read again by the next import, or when it is asked for.
FORGET = """
    UPDATE catalog_image SET identifying = NULL
     WHERE identifying = '{}'
       AND coalesce(metadata_json ->> 'PatientIdentityRemoved', '') <> 'YES'
"""
NOTE_UNCHECKED = """
    UPDATE catalog_dataset dataset
       SET imported_json = jsonb_set(imported_json, '{identifying}',
               '{"files": 0, "burned_in": 0, "attributes": {}}'
               || coalesce(imported_json -> 'identifying', '{}')
               || jsonb_build_object('unchecked', found.files))
      FROM (SELECT dataset_id, count(*) AS files
              FROM catalog_image
             WHERE identifying IS NULL AND file_path <> '' AND removed_at IS NULL
               AND metadata_json ? 'TransferSyntaxUID'
             GROUP BY dataset_id) found
     WHERE dataset.id = found.dataset_id
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0013_dataset_version_index")]

    operations = [
        migrations.RunSQL(FORGET, migrations.RunSQL.noop),
        migrations.RunSQL(NOTE_UNCHECKED, migrations.RunSQL.noop),
    ]
