"""All that is kept of one user, as plain values for JSON."""

from collections.abc import Iterable
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User

from catalog.models import Image
from collections_app.models import Build, Collection
from medagg.models import WaitingAddress

ACCOUNT = ("username", "email", "first_name", "last_name", "is_active", "is_staff",
           "is_superuser", "date_joined", "last_login")  # fmt: skip
COLLECTION = ("uuid", "title", "slug", "query_text", "filter_snapshot", "options", "provenance",
              "status", "num_images", "num_files", "num_bytes", "error_message", "archive_size",
              "archive_sha256", "fingerprint", "wants_mail", "created_at", "updated_at",
              "finished_at", "verified_at", "expires_at")  # fmt: skip
BUILD = ("queued_at", "started_at", "finished_at", "attempts", "reason")
SIGN_IN = ("attempt_time", "ip_address", "user_agent", "failures_since_start")


def export_account(user: User, *, basket: Iterable[int]) -> dict[str, Any]:
    """The account, its collections with what was asked for, basket and failed sign-ins.

    The images of a collection are in its archive and on its page; here is their number.
    """
    waiting = WaitingAddress.objects.filter(user=user).values("address", "entered_at").first()
    attempts = AccessAttempt.objects.filter(username=user.get_username())
    entries = LogEntry.objects.filter(user=user).order_by("pk")
    return {
        "account": _fields(user, ACCOUNT)
        | {
            "address_to_be_confirmed": waiting,
            "groups": list(user.groups.values_list("name", flat=True)),
            "permissions": sorted(user.get_all_permissions()) if user.is_staff else [],
        },
        "collections": [_describe(each) for each in _collections_of(user)],
        "basket": _describe_images(basket),
        "failed_sign_ins": list(attempts.order_by("pk").values(*SIGN_IN)),
        "changes_in_the_admin": list(
            entries.values("action_time", "object_repr", "action_flag", "change_message")
        ),
    }


def _collections_of(user: User) -> list[Collection]:
    found = Collection.objects.visible_to(user).prefetch_related("builds")
    return list(found.order_by("pk"))


def _describe(collection: Collection) -> dict[str, Any]:
    builds: list[Build] = list(collection.builds.all())
    return _fields(collection, COLLECTION) | {
        "url": f"{settings.SITE_URL}{collection.get_absolute_url()}",
        "builds": [_fields(build, BUILD) for build in builds],
    }


def _describe_images(ids: Iterable[int]) -> list[dict[str, Any]]:
    images = Image.objects.filter(pk__in=list(ids)).select_related("dataset").order_by("pk")
    return [{"pk": each.pk, "dataset": each.dataset.slug, "source_id": each.source_id}
            for each in images]  # fmt: skip


def _fields(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
