import django.db.models.deletion
from django.contrib.postgres import indexes, search
from django.db import migrations, models

import catalog.models

# What is searched of an image's own texts, and the words of a text: see catalog.search.image_texts.
FUNCTIONS = r"""
    CREATE FUNCTION catalog_image_text(metadata jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN nullif(
        coalesce(metadata ->> 'Manufacturer', '') || E'\n' ||
        coalesce(metadata ->> 'ManufacturerModelName', '') || E'\n' ||
        coalesce(metadata ->> 'BodyPartExamined', '') || E'\n' ||
        coalesce(metadata ->> 'StudyDescription', '') || E'\n' ||
        coalesce(metadata ->> 'SeriesDescription', '') || E'\n' ||
        coalesce(metadata ->> 'ProtocolName', '') || E'\n' ||
        coalesce(metadata ->> 'ViewPosition', '') || E'\n' ||
        coalesce(metadata ->> 'view', ''), repeat(E'\n', 7));

    CREATE FUNCTION catalog_text_key(metadata jsonb) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN hashtextextended(catalog_image_text(metadata), 0);

    -- The parser takes these signs for parts of a word, address or number.
    CREATE FUNCTION catalog_words(text text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector('simple',
        replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(
        text, '_', ' '), '-', ' '), '.', ' '), '/', ' '), ':', ' '), '@', ' '), '<', ' '),
        '&', ' '), '+', ' '), '~', ' '));
"""
DROP_FUNCTIONS = """
    DROP FUNCTION catalog_words(text);
    DROP FUNCTION catalog_text_key(jsonb);
    DROP FUNCTION catalog_image_text(jsonb);
"""
FILL = """
    WITH counted AS (
        SELECT profile_id, text_key, count(*)::int AS num_images, min(id) AS example
          FROM catalog_image
         WHERE profile_id IS NOT NULL AND text_key IS NOT NULL
         GROUP BY profile_id, text_key)
    INSERT INTO catalog_profiletext (profile_id, text_key, num_images, words)
    SELECT counted.profile_id, counted.text_key, num_images,
           catalog_words(catalog_image_text(image.metadata_json))
      FROM counted JOIN catalog_image image ON image.id = counted.example
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0006_views_and_availability")]

    operations = [
        migrations.RunSQL(FUNCTIONS, DROP_FUNCTIONS),
        migrations.AddField(
            model_name="image",
            name="text_key",
            field=models.GeneratedField(
                db_persist=True,
                expression=catalog.models.TextKey("metadata_json"),
                output_field=models.BigIntegerField(null=True),
            ),
        ),
        migrations.CreateModel(
            name="ProfileText",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text_key", models.BigIntegerField()),
                ("num_images", models.PositiveIntegerField()),
                ("words", search.SearchVectorField()),
                (
                    "profile",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=models.deletion.CASCADE,
                        related_name="texts",
                        to="catalog.imageprofile",
                    ),
                ),
            ],
            options={
                "indexes": [indexes.GinIndex(fields=["words"], name="profile_text_words")],
            },
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
