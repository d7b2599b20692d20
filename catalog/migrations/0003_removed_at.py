from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0002_versions_and_gone_images'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='image',
            name='gone_image_counts_nowhere',
        ),
        migrations.RenameField(
            model_name='image',
            old_name='gone_at',
            new_name='removed_at',
        ),
        migrations.AddConstraint(
            model_name='image',
            constraint=models.CheckConstraint(condition=models.Q(('removed_at__isnull', True), ('profile__isnull', True), _connector='OR'), name='removed_image_counts_nowhere'),
        ),
    ]
