from django.db import migrations, models

# Of a series as in `catalog.storage.series`.
SET_ITEM_SHA256 = """
    UPDATE catalog_remotefile file
       SET item_sha256 = whole.sha256
      FROM (SELECT address,
                   CASE WHEN address LIKE '%/*'
                        THEN encode(sha256(convert_to(string_agg(
                                 sha256 || '  ' || name || suffix || chr(10), ''
                                 ORDER BY name || suffix COLLATE "C"), 'UTF8')), 'hex')
                        ELSE min(sha256) END AS sha256
              FROM catalog_remotefile
             GROUP BY address) whole
     WHERE file.address = whole.address
"""


class Migration(migrations.Migration):
    """What a source has replaced is kept beside what it has now."""

    dependencies = [("catalog", "0017_search_vectors_without_aliases")]

    operations = [
        migrations.AddField(
            model_name="remotefile",
            name="item_sha256",
            field=models.CharField(
                default="",
                help_text="Of all that was at the address together, as items have it.",
                max_length=64,
                verbose_name="SHA-256 of the item",
            ),
            preserve_default=False,
        ),
        migrations.RunSQL(SET_ITEM_SHA256, migrations.RunSQL.noop),
        migrations.RemoveConstraint(
            model_name="remotefile", name="a_remote_file_is_known_once"
        ),
        migrations.AddConstraint(
            model_name="remotefile",
            constraint=models.UniqueConstraint(
                fields=("address", "item_sha256", "name"), name="a_remote_file_is_known_once"
            ),
        ),
    ]
