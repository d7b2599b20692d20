import django.contrib.postgres.fields
from django.db import migrations, models

# Files that were imported before were not read for it. The column is null for all of them, so the
# table is not rewritten; only how many DICOM files a dataset has is noted, for its page.
NOTE_UNCHECKED = """
    UPDATE catalog_dataset dataset
       SET imported_json = jsonb_set(imported_json, '{identifying}', jsonb_build_object(
               'files', 0, 'burned_in', found.burned_in, 'unchecked', found.files,
               'attributes', jsonb_build_object()))
      FROM (SELECT dataset_id, count(*) AS files,
                   count(*) FILTER (WHERE metadata_json ->> 'BurnedInAnnotation' = 'YES')
                       AS burned_in
              FROM catalog_image
             WHERE file_path <> '' AND removed_at IS NULL AND metadata_json ? 'TransferSyntaxUID'
             GROUP BY dataset_id) found
     WHERE dataset.id = found.dataset_id
"""
FORGET = "UPDATE catalog_dataset SET imported_json = imported_json - 'identifying'"


class Migration(migrations.Migration):
    dependencies = [("catalog", "0007_image_texts")]

    operations = [
        migrations.AddField(
            model_name="image",
            name="identifying",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.TextField(),
                blank=True,
                editable=False,
                help_text="DICOM attributes that tell who somebody is; unknown if the file was not "
                "read for them.",
                null=True,
                size=None,
            ),
        ),
        migrations.RunSQL(NOTE_UNCHECKED, FORGET),
    ]
