from django.conf import settings
from django.db import migrations, models

# Items used to hold labels as [[code, finding, confidence], …] and empty values as nulls. Now they
# hold the cells of metadata.csv, and propose a name in the archive; the next build finalizes both.
FREEZE_CELLS = """
    UPDATE collections_app_collectionitem
       SET metadata_json = jsonb_strip_nulls(
           metadata_json || jsonb_build_object(
               'modality', nullif(metadata_json ->> 'modality', ''),
               'area', nullif(metadata_json ->> 'area', ''),
               'file_path', nullif(metadata_json ->> 'file_path', ''),
               'remote_url', nullif(metadata_json ->> 'remote_url', ''),
               'subject_id', nullif(metadata_json ->> 'subject_id', ''),
               'sex', nullif(metadata_json ->> 'sex', '')
           ) || (
               SELECT jsonb_build_object(
                   'labels', string_agg(given ->> 0, '|' ORDER BY n)
                             FILTER (WHERE given ->> 1 = 'positive'),
                   'uncertain_labels', string_agg(given ->> 0, '|' ORDER BY n)
                                       FILTER (WHERE given ->> 1 = 'uncertain'),
                   'negative_labels', string_agg(given ->> 0, '|' ORDER BY n)
                                      FILTER (WHERE given ->> 1 = 'negative'),
                   'label_confidence', string_agg((given ->> 0) || '=' || (given ->> 2), '|'
                                                  ORDER BY n)
                                       FILTER (WHERE given ->> 2 IS NOT NULL))
                 FROM jsonb_array_elements(metadata_json -> 'labels')
                      WITH ORDINALITY AS list (given, n)))
     WHERE jsonb_typeof(metadata_json -> 'labels') = 'array'
"""

PROPOSE_NAMES = """
    UPDATE collections_app_collectionitem
       SET file_name = left('images/' || (metadata_json ->> 'dataset') || '/'
                            || (metadata_json ->> 'file_path'), 255)
     WHERE sha256 <> ''
"""


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0002_versions_and_gone_images'),
        ('collections_app', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # Before the columns: while they are not there, nothing builds from these rows.
        migrations.RunSQL(FREEZE_CELLS, migrations.RunSQL.noop),
        migrations.AddField(
            model_name='collection',
            name='items_sha256',
            field=models.CharField(blank=True, max_length=64, verbose_name='SHA-256 of the frozen items'),
        ),
        migrations.AddField(
            model_name='collection',
            name='mail_is_due',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='collection',
            name='wants_mail',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='collectionitem',
            name='file_name',
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddIndex(
            model_name='collection',
            index=models.Index(condition=models.Q(('fingerprint', ''), _negated=True), fields=['fingerprint'], name='collection_by_bytes'),
        ),
        migrations.AddConstraint(
            model_name='collection',
            constraint=models.UniqueConstraint(condition=models.Q(('attempt_token__isnull', False), models.Q(('fingerprint', ''), _negated=True)), fields=('fingerprint',), name='one_build_for_a_fingerprint'),
        ),
        migrations.AddConstraint(
            model_name='collection',
            constraint=models.CheckConstraint(condition=models.Q(('items_sha256', ''), ('items_sha256__regex', '^[0-9a-f]{64}$'), _connector='OR'), name='items_sha256_is_hex'),
        ),
        migrations.RemoveConstraint(
            model_name='collectionitem',
            name='item_with_a_file_has_hash_and_size',
        ),
        migrations.AddConstraint(
            model_name='collectionitem',
            constraint=models.CheckConstraint(condition=models.Q(('sha256', ''), ('size_bytes__isnull', False), _connector='OR'), name='item_with_a_file_has_a_size'),
        ),
        migrations.RunSQL(PROPOSE_NAMES, migrations.RunSQL.noop),
    ]
