import importlib

from django.db import migrations

again = importlib.import_module("catalog.migrations.0014_identifying_again")


class Migration(migrations.Migration):
    """Names that are the patient's id, too, were not seen if they had a digit. As in 0014."""

    dependencies = [("catalog", "0015_identifying_once_more")]

    operations = [
        migrations.RunSQL(again.FORGET, migrations.RunSQL.noop),
        migrations.RunSQL(again.NOTE_UNCHECKED, migrations.RunSQL.noop),
    ]
