"""Addresses are stored with their domains as mail is sent to them: one mailbox, one address."""

from django.db import migrations
from django.utils.encoding import punycode


LONGEST = 254  # characters, of both columns


def write_domains_as_mail(apps, schema_editor):
    """What cannot be written so, or belongs to somebody already, stays as it is."""
    User = apps.get_model("auth", "User")
    WaitingAddress = apps.get_model("medagg", "WaitingAddress")
    for model, name in ((User, "email"), (WaitingAddress, "address")):
        for pk, address in model.objects.filter(**{f"{name}__contains": "@"}).values_list("pk", name):
            written = _write(address)
            taken = model is User and model.objects.filter(email__iexact=written).exclude(pk=pk)
            if written != address and not taken:
                model.objects.filter(pk=pk).update(**{name: written})


def _write(address):
    local, at, domain = address.rpartition("@")
    if domain.isascii():
        return address
    try:
        written = f"{local}{at}{punycode(domain).lower()}"
    except UnicodeError:
        return address
    return written if len(written) <= LONGEST else address


class Migration(migrations.Migration):
    dependencies = [
        ("medagg", "0001_accounts"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [migrations.RunPython(write_domains_as_mail, migrations.RunPython.noop)]
