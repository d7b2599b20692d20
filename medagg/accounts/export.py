"""All that is kept of one user, as JSON."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.serializers.json import DjangoJSONEncoder

from catalog.models import Image
from collections_app.models import Collection
from medagg.accounts.backends import counted_names
from medagg.models import WaitingAddress

ACCOUNT = ("username", "email", "first_name", "last_name", "is_active", "is_staff",
           "is_superuser", "date_joined", "last_login")  # fmt: skip
COLLECTION = ("uuid", "title", "slug", "query_text", "filter_snapshot", "options", "provenance",
              "status", "num_images", "num_files", "num_bytes", "error_message", "archive_size",
              "archive_sha256", "fingerprint", "wants_mail", "created_at", "updated_at",
              "finished_at", "verified_at", "expires_at")  # fmt: skip
BUILD = ("queued_at", "started_at", "finished_at", "attempts", "reason")
SIGN_IN = ("attempt_time", "ip_address", "user_agent", "failures_since_start")


def export_account(user: User, *, basket: Iterable[int]) -> Iterator[bytes]:
    """The account, its collections with what was asked for, basket and failed sign-ins.

    One collection after the other, each in a line, as a thousand of them may say much of their
    datasets. The images of a collection are in its archive and on its page; here is their number.
    """
    waiting = WaitingAddress.objects.filter(user=user).values("address", "entered_at").first()
    attempts = AccessAttempt.objects.filter(username__in=counted_names(user))
    entries = LogEntry.objects.filter(user=user).order_by("pk")
    rest = {
        "account": _fields(user, ACCOUNT)
        | {
            "address_to_be_confirmed": waiting,
            "groups": list(user.groups.values_list("name", flat=True)),
            "permissions": sorted(user.get_all_permissions()) if user.is_staff else [],
        },
        "basket": _describe_images(user, basket),
        "failed_sign_ins": list(attempts.order_by("pk").values(*SIGN_IN)),
        "changes_in_the_admin": list(
            entries.values("action_time", "object_repr", "action_flag", "change_message")
        ),
    }
    yield _dump(rest).removesuffix(b"}") + b', "collections": ['
    for number, collection in enumerate(_collections_of(user)):
        yield (b",\n" if number else b"\n") + _dump(_describe(collection))
    yield b"\n]}\n"


def _dump(values: dict[str, Any]) -> bytes:
    # Without indentation, for which Python's own encoder would take four times as long.
    return json.dumps(values, cls=DjangoJSONEncoder).encode()


def _collections_of(user: User) -> Iterator[Collection]:
    mine = Collection.objects.visible_to(user)
    for pk in list(mine.order_by("pk").values_list("pk", flat=True)):
        yield from mine.filter(pk=pk)


def _describe(collection: Collection) -> dict[str, Any]:
    # Without models, as one that is built again and again has very many.
    builds = collection.builds.order_by("pk").values(*BUILD)
    return _fields(collection, COLLECTION) | {
        "url": f"{settings.SITE_URL}{collection.get_absolute_url()}",
        "builds": list(builds),
    }


def _describe_images(user: User, ids: Iterable[int]) -> list[dict[str, Any]]:
    """Those of a dataset that was hidden meanwhile are not told of."""
    images = Image.objects.visible_to(user).filter(pk__in=list(ids)).select_related("dataset")
    return [{"pk": each.pk, "dataset": each.dataset.slug, "source_id": each.source_id}
            for each in images.order_by("pk")]  # fmt: skip


def _fields(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
