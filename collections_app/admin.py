"""Admin of collections: read-only except for the expiry; actions call the services."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property

from catalog.admin import COUNT_LIMIT, BigModelAdmin, BoundedPaginator, ReadOnlyAdmin
from collections_app import services
from collections_app.models import Collection, CollectionItem, Status
from collections_app.selection.refusals import NotBuildable

MAX_LIFETIME = timedelta(days=36_500)


class CollectionForm(forms.ModelForm):
    def clean_expires_at(self) -> datetime:
        expires_at = self.cleaned_data["expires_at"]
        if not expires_at:
            raise ValidationError("Set the time until which the archive is kept.")
        if expires_at > timezone.now() + MAX_LIFETIME:
            raise ValidationError("An archive is kept for at most a hundred years.")
        return expires_at


class CollectionPaginator(BoundedPaginator):
    @cached_property
    def count(self) -> int:
        """The number of rows, counted without the columns of the list."""
        rows: Any = self.object_list
        return rows.values("pk")[:COUNT_LIMIT].count()


@admin.register(Collection)
class CollectionAdmin(BigModelAdmin):
    form = CollectionForm
    paginator = CollectionPaginator
    list_display = ("title", "user", "status", "num_images", "num_files", "num_bytes",
                    "short_fingerprint",
                    "created_at", "expires_at")  # fmt: skip
    list_filter = ("status",)
    list_select_related = ("user",)
    search_fields = ("title", "uuid__exact", "user__username", "query_text", "fingerprint__exact")
    date_hierarchy = "created_at"
    actions = ("rebuild", "cancel", "extend", "expire")

    @admin.display(description="fingerprint")
    def short_fingerprint(self, obj: Collection) -> str:
        return obj.fingerprint[:12]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """All fields except the expiry of a ready archive: the others are frozen or derived."""
        fields = [field.name for field in Collection._meta.fields if field.name != "id"]
        if obj and obj.status == Status.READY:
            fields.remove("expires_at")
        return fields

    def save_model(self, request: HttpRequest, obj: Collection, form: Any, change: bool) -> None:
        """Write this column only, as a worker may write others at the same time."""
        if "expires_at" in form.changed_data:
            expires_at: datetime = form.cleaned_data["expires_at"]
            try:
                services.set_expiry(collection=obj, expires_at=expires_at)
            except services.NotPossibleNow as error:
                self.message_user(request, str(error), messages.ERROR)

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("images",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_actions(self, request: HttpRequest) -> Any:
        """Without Django's action: it leaves the archive and would load a million items."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        counts = {"collections": len(objs), "items": sum(obj.num_images for obj in objs)}
        return [str(obj) for obj in objs], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: Collection) -> None:
        services.delete_collection(collection=obj)

    @admin.action(description="Rebuild the archive", permissions=["change"])
    def rebuild(self, request: HttpRequest, collections: QuerySet) -> None:
        self._each(request, collections, services.rebuild_collection, "queued")

    @admin.action(description="Cancel the build", permissions=["change"])
    def cancel(self, request: HttpRequest, collections: QuerySet) -> None:
        # In the admin the operator cancels, so the owner gets a notice.
        cancel = partial(services.cancel_build, by_owner=False)
        self._each(request, collections, cancel, "cancelled")

    @admin.action(description="Keep the archive for longer, from now on", permissions=["change"])
    def extend(self, request: HttpRequest, collections: QuerySet) -> None:
        self._each(request, collections, services.extend_collection, "extended")

    @admin.action(description="Expire: remove the archive, keep the items", permissions=["change"])
    def expire(self, request: HttpRequest, collections: QuerySet) -> None:
        self._each(request, collections, services.expire_collection, "expired")

    def _each(self, request: HttpRequest, collections: Any, service: Any, done: str) -> None:
        """Call the service for each collection; one that is refused does not stop the others."""
        count = 0
        for collection in collections.brief():
            try:
                if not self.has_change_permission(request, collection):
                    raise services.NotPossibleNow("You may not change this collection.")
                service(collection=collection)
                count += 1
            except (services.NotPossibleNow, NotBuildable) as error:
                self.message_user(request, f"{collection}: {error}", messages.WARNING)
        self.message_user(request, f"{count} {done}.")


@admin.register(CollectionItem)
class CollectionItemAdmin(ReadOnlyAdmin):
    list_display = ("collection", "position", "image", "size_bytes", "problem", "is_excluded")
    list_select_related = ("collection", "image")
    list_filter = ("is_excluded",)
    search_fields = ("collection__uuid__exact",)
    raw_id_fields = ("collection", "image")
    ordering = ("pk",)
