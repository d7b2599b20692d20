import importlib

from django.db import migrations

again = importlib.import_module("catalog.migrations.0014_identifying_again")


class Migration(migrations.Migration):
    """Names were not seen in private elements and repeating groups of which pydicom knows the VR.

    Nor in elements that stand in an item twice, or behind a mark of an end. As in 0014.
    """

    dependencies = [("catalog", "0014_identifying_again")]

    operations = [
        migrations.RunSQL(again.FORGET, migrations.RunSQL.noop),
        migrations.RunSQL(again.NOTE_UNCHECKED, migrations.RunSQL.noop),
    ]
