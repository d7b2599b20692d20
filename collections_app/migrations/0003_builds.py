import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Until now several collections could share one archive. Unverified archives were written by another
# version of the writer and can no longer be verified. Both are built again: the items are frozen, so
# nothing is lost.
BUILD_AGAIN = """
    UPDATE collections_app_collection mine
       SET status = 'pending', archive_path = '', archive_size = NULL, archive_sha256 = '',
           fingerprint = '', finished_at = NULL, expires_at = NULL, mail_is_due = false,
           wants_mail = false,
           queued_at = now(), attempts = 0, started_at = NULL
     WHERE status = 'ready'
       AND (archive_sha256 = '' OR EXISTS (
               SELECT FROM collections_app_collection other
                WHERE other.status = 'ready' AND other.archive_path = mine.archive_path
                  AND other.id < mine.id))
"""

# Each collection gets one build with the values of its old columns.
MAKE_BUILDS = """
    INSERT INTO collections_app_build
           (collection_id, queued_at, notified_at, attempts, progress_images, progress_bytes,
            started_at, finished_at, reason)
    SELECT id,
           CASE WHEN status = 'pending' THEN coalesce(queued_at, created_at)
                ELSE coalesce(started_at, created_at) END,
           coalesce(queued_at, created_at), attempts, progress_images, progress_bytes, started_at,
           CASE WHEN status <> 'pending' THEN coalesce(finished_at, updated_at) END,
           CASE WHEN status <> 'failed' THEN ''
                WHEN error_message = 'You cancelled this build.' THEN 'cancelled'
                WHEN error_message LIKE 'The operator cancelled%' THEN 'cancelled_by_operator'
                WHEN error_message LIKE 'The build was interrupted%' THEN 'interrupted'
                WHEN error_message LIKE '%disk is full%'
                  OR error_message LIKE '%no room for this archive%' THEN 'disk_full'
                WHEN error_message LIKE '%not as the catalog says%' THEN 'files_changed'
                WHEN error_message LIKE 'The archive''s file%'
                  OR error_message LIKE '%could not keep the archive%' THEN 'archive_damaged'
                ELSE 'unknown' END
      FROM collections_app_collection
     ORDER BY id
"""

VERIFIED = """
    UPDATE collections_app_collection SET verified_at = finished_at WHERE status = 'ready'
"""

RENAME_IN_PROVENANCE = """
    UPDATE collections_app_collection
       SET provenance = provenance - 'left_out'
                        || jsonb_build_object('excluded', provenance -> 'left_out')
     WHERE jsonb_exists(provenance, 'left_out')
"""

# A table cannot be altered while deferred constraints of its rows are still to be checked.
CHECK_NOW = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0002_versions_and_gone_images'),
        ('collections_app', '0002_shared_archives'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Build',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('collection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='builds', to='collections_app.collection')),
                ('queued_at', models.DateTimeField()),
                ('notified_at', models.DateTimeField(blank=True, null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('attempt_token', models.UUIDField(blank=True, null=True)),
                ('lease_expires_at', models.DateTimeField(blank=True, null=True)),
                ('progress_images', models.PositiveIntegerField(default=0)),
                ('progress_bytes', models.PositiveBigIntegerField(default=0)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('reason', models.CharField(blank=True, choices=[('files_missing', 'files are missing'), ('files_changed', 'files have changed'), ('catalog_changed', 'the catalog has lost images'), ('disk_full', 'the disk is full'), ('write_error', 'the archive could not be written'), ('too_slow', 'the build took too long'), ('interrupted', 'the worker stopped too often'), ('cancelled', 'cancelled by the owner'), ('cancelled_by_operator', 'cancelled by the operator'), ('archive_damaged', 'the finished archive was lost or damaged'), ('unknown', 'not known')], max_length=24)),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='collection',
            name='only_a_pending_collection_is_leased',
        ),
        migrations.RemoveConstraint(
            model_name='collection',
            name='one_build_for_a_fingerprint',
        ),
        migrations.RemoveConstraint(
            model_name='collectionitem',
            name='left_out_item_says_why',
        ),
        migrations.RemoveIndex(
            model_name='collection',
            name='collection_by_state',
        ),
        migrations.RemoveIndex(
            model_name='collection',
            name='collection_by_bytes',
        ),
        migrations.RenameField(
            model_name='collectionitem',
            old_name='is_left_out',
            new_name='is_excluded',
        ),
        migrations.AddField(
            model_name='collection',
            name='verified_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunSQL(
            [BUILD_AGAIN, MAKE_BUILDS, VERIFIED, RENAME_IN_PROVENANCE, CHECK_NOW],
        ),
        migrations.RemoveField(
            model_name='collection',
            name='lease_expires_at',
        ),
        migrations.RemoveField(
            model_name='collection',
            name='attempt_token',
        ),
        migrations.RemoveField(
            model_name='collection',
            name='attempts',
        ),
        migrations.RemoveField(
            model_name='collection',
            name='progress_bytes',
        ),
        migrations.RemoveField(
            model_name='collection',
            name='progress_images',
        ),
        migrations.RemoveField(
            model_name='collection',
            name='queued_at',
        ),
        migrations.RemoveField(
            model_name='collection',
            name='started_at',
        ),
        migrations.AddIndex(
            model_name='collection',
            index=models.Index(fields=['status', 'expires_at'], name='collection_by_state'),
        ),
        migrations.AddConstraint(
            model_name='collection',
            constraint=models.CheckConstraint(condition=models.Q(('verified_at__isnull', True), models.Q(('status', 'ready'), models.Q(('archive_sha256', ''), _negated=True)), _connector='OR'), name='a_verified_archive_has_a_sha256'),
        ),
        migrations.AddConstraint(
            model_name='collection',
            constraint=models.UniqueConstraint(condition=models.Q(('archive_path', ''), _negated=True), fields=('archive_path',), name='an_archive_belongs_to_one_collection'),
        ),
        migrations.AddConstraint(
            model_name='collectionitem',
            constraint=models.CheckConstraint(condition=models.Q(('is_excluded', False), models.Q(('problem', ''), _negated=True), _connector='OR'), name='excluded_item_says_why'),
        ),
        migrations.AddIndex(
            model_name='build',
            index=models.Index(condition=models.Q(('finished_at__isnull', True)), fields=['queued_at'], name='build_queue'),
        ),
        migrations.AddConstraint(
            model_name='build',
            constraint=models.UniqueConstraint(condition=models.Q(('finished_at__isnull', True)), fields=('collection',), name='one_unfinished_build_for_a_collection'),
        ),
        migrations.AddConstraint(
            model_name='build',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('attempt_token__isnull', True), ('lease_expires_at__isnull', True)), models.Q(('attempt_token__isnull', False), ('finished_at__isnull', True), ('lease_expires_at__isnull', False)), _connector='OR'), name='only_an_unfinished_build_is_leased'),
        ),
        migrations.AddConstraint(
            model_name='build',
            constraint=models.CheckConstraint(condition=models.Q(('reason', ''), models.Q(('finished_at__isnull', False), ('reason__in', ['files_missing', 'files_changed', 'catalog_changed', 'disk_full', 'write_error', 'too_slow', 'interrupted', 'cancelled', 'cancelled_by_operator', 'archive_damaged', 'unknown'])), _connector='OR'), name='a_failed_build_is_finished'),
        ),
    ]
