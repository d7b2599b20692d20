import django.contrib.postgres.fields
from django.db import migrations, models

# The numbers of images and bytes by completed age (see catalog.ages) of the profiles that exist.
# Every dataset gets a new version, so that no process keeps counts without ages.
COUNT_AGES = """
    UPDATE catalog_imageprofile profile
       SET ages = counted.ages, age_images = counted.age_images, age_bytes = counted.age_bytes
      FROM (SELECT profile_id, array_agg(age ORDER BY age) AS ages,
                   array_agg(images ORDER BY age) AS age_images,
                   array_agg(bytes ORDER BY age) AS age_bytes
              FROM (SELECT profile_id,
                           (CASE WHEN age_years IS NULL THEN -1
                                 WHEN age_years < 2
                                 THEN width_bucket(age_years, ARRAY[
                                      0.0, 0.0783, 0.1617, 0.245, 0.3283, 0.4117, 0.495, 0.5783,
                                      0.6617, 0.745, 0.8283, 0.9117, 1.0, 1.0783, 1.1617, 1.245,
                                      1.3283, 1.4117, 1.495, 1.5783, 1.6617, 1.745, 1.8283, 1.9117
                                      ]::float8[]) - 1
                                 ELSE floor(age_years)::int * 12 END)::smallint AS age,
                           count(*)::int AS images,
                           coalesce(sum(size_bytes), 0)::bigint AS bytes
                      FROM catalog_image
                     WHERE profile_id IS NOT NULL
                     GROUP BY 1, 2) by_age
             GROUP BY profile_id) counted
     WHERE counted.profile_id = profile.id;
    UPDATE catalog_dataset SET version = 0;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0003_removed_at'),
    ]

    operations = [
        migrations.AddField(
            model_name='imageprofile',
            name='ages',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), default=list, size=None),
        ),
        migrations.AddField(
            model_name='imageprofile',
            name='age_images',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), default=list, size=None),
        ),
        migrations.AddField(
            model_name='imageprofile',
            name='age_bytes',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, size=None),
        ),
        migrations.RunSQL(COUNT_AGES, migrations.RunSQL.noop),
    ]
