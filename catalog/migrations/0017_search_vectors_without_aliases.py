"""Datasets are no longer found by other spellings of their terms, which no page shows."""

from typing import Any

from django.db import migrations

from catalog.search.full_text import refresh_search_vectors


def refresh(apps: Any, schema_editor: Any) -> None:
    # Without datasets nothing is asked that a later migration may have yet to prepare.
    if ids := list(apps.get_model("catalog", "Dataset").objects.values_list("pk", flat=True)):
        refresh_search_vectors(dataset_ids=ids)


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0016_names_that_are_ids"),
        ("vocab", "0004_views_and_kinds"),
    ]

    operations = [migrations.RunPython(refresh, migrations.RunPython.noop)]
