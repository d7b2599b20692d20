"""Addresses to be confirmed; names and addresses of users that differ by case are the same."""

from collections import Counter

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def rename_equal_names(apps, schema_editor):
    """Of names that differ only by case, the oldest account keeps its own; others get a number."""
    User = apps.get_model("auth", "User")
    counts = Counter(name.upper() for name in User.objects.values_list("username", flat=True))
    taken = set(counts)
    for folded in sorted(name for name, count in counts.items() if count > 1):
        _, *others = User.objects.filter(username__iexact=folded).order_by("pk")
        for user in others:
            old, number = user.username, 2
            while f"{old[:140]}-{number}".upper() in taken:
                number += 1
            user.username = f"{old[:140]}-{number}"
            taken.add(user.username.upper())
            user.save(update_fields=["username"])
            print(
                f"\n  The user {old!r} is called {user.username!r} now, as another user has that "
                "name up to upper and lower case. Tell this user.",
                end="",
            )


def ask_to_confirm(apps, schema_editor):
    """Nobody has confirmed the addresses of users so far; staff's were entered by operators."""
    User = apps.get_model("auth", "User")
    WaitingAddress = apps.get_model("medagg", "WaitingAddress")
    kept = set()
    for user in User.objects.exclude(email="").order_by("pk"):
        is_staff = user.is_staff or user.is_superuser
        if is_staff and user.email.upper() not in kept:
            kept.add(user.email.upper())
            continue
        WaitingAddress.objects.create(user=user, address=user.email)
        user.email = ""
        user.save(update_fields=["email"])


def give_back(apps, schema_editor):
    WaitingAddress = apps.get_model("medagg", "WaitingAddress")
    for waiting in WaitingAddress.objects.filter(user__email="").select_related("user"):
        waiting.user.email = waiting.address
        waiting.user.save(update_fields=["email"])


class Migration(migrations.Migration):
    initial = True
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="WaitingAddress",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="waiting_address",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("address", models.EmailField(max_length=254)),
                ("entered_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "verbose_name": "address to be confirmed",
                "verbose_name_plural": "addresses to be confirmed",
            },
        ),
        migrations.RunPython(rename_equal_names, migrations.RunPython.noop),
        migrations.RunPython(ask_to_confirm, give_back),
        # UPPER, as Django's iexact compares.
        migrations.RunSQL(
            "CREATE UNIQUE INDEX a_user_name_is_taken_once ON auth_user (UPPER(username))",
            "DROP INDEX a_user_name_is_taken_once",
        ),
        migrations.RunSQL(
            "CREATE UNIQUE INDEX an_address_belongs_to_one_user ON auth_user (UPPER(email)) "
            "WHERE email <> ''",
            "DROP INDEX an_address_belongs_to_one_user",
        ),
    ]
