"""Admin of users: approval of accounts, and addresses that wait to be confirmed."""

from collections.abc import Callable
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect

from collections_app.models import Collection
from medagg.accounts import services
from medagg.accounts.addresses import AddressField
from medagg.accounts.forms import (
    ACCOUNT_CHANGED,
    AccountChanged,
    PasswordOfAnotherForm,
    check_name,
)
from medagg.models import WaitingAddress
from vocab.admin_base.bounds import BoundedAdmin, BoundedInline
from vocab.admin_base.forms import OpenedForm, OpenedFormAdmin

RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")


def _is_administrator(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


class AccountChangeForm(OpenedForm, UserChangeForm):
    """Refuses names and addresses that another account has, up to upper and lower case."""

    email = AddressField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].show_hidden_initial = False
        if self.data.get("email") == self.initial.get("email"):  # an old one may stay
            self.fields["email"] = forms.CharField(required=False)

    def clean_username(self) -> str:
        """An old name may stay."""
        name: str = self.cleaned_data["username"]
        if name != self.initial.get("username"):
            check_name(name)
        return self._check("username", "Another user has this name, up to upper and lower case.")

    def clean_email(self) -> str:
        return self._check("email", "Another user has confirmed this address.")

    def _check(self, field: str, problem: str) -> str:
        value: str = self.cleaned_data[field]
        others = User.objects.exclude(pk=self.instance.pk)
        if value and others.filter(**{f"{field}__iexact": value}).exists():
            raise ValidationError(problem)
        return value


class AccountAddForm(AdminUserCreationForm):
    """Takes the names that signing up takes."""

    def clean_username(self) -> str:
        check_name(self.cleaned_data["username"])
        return super().clean_username() or ""


class WaitingAddressInline(BoundedInline):
    model = WaitingAddress
    fields = readonly_fields = ("address", "entered_at")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


admin.site.unregister([User, Group])


@admin.register(User)
class AccountAdmin(OpenedFormAdmin, UserAdmin):
    """Django's, but deleting a user also deletes collections and archives, of any size."""

    form = AccountChangeForm
    add_form = AccountAddForm
    change_password_form = PasswordOfAnotherForm
    inlines = (WaitingAddressInline,)
    actions = ("approve", "ask_to_confirm")
    list_display = ("username", "email", "is_active", "is_staff", "date_joined", "last_login")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Who may only change users, as to approve accounts, has no power over the staff's."""
        users = super().get_queryset(request)
        if _is_administrator(request):
            return users
        return users.exclude(Q(is_staff=True) | Q(is_superuser=True))

    def lock(self, obj: User) -> None:
        """Rows that refer to it, such as the admin's history, can still be inserted."""
        User.objects.select_for_update(no_key=True).filter(pk=obj.pk).first()

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        request.changes_account = request.method == "POST"  # type: ignore[attr-defined]
        return super().changeform_view(request, *args, **kwargs)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        if not getattr(request, "changes_account", False):
            # Passwords take seconds to be hashed, and deletions lock in an order of their own.
            return BoundedAdmin.get_object(self, request, object_id, from_field)
        obj = super().get_object(request, object_id, from_field)
        self._look_at_sender_again(request, self.has_change_permission)
        return obj

    def _look_at_sender_again(
        self, request: HttpRequest, is_allowed: Callable[[HttpRequest], bool]
    ) -> None:
        """Raises PermissionDenied: while this waited, the sender's rights were taken away."""
        users = User.objects.filter(pk=request.user.pk or 0)
        request.user = users.first() or AnonymousUser()
        if not (self.admin_site.has_permission(request) and is_allowed(request)):
            raise PermissionDenied

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:  # a password was hashed
            self._look_at_sender_again(request, self.has_add_permission)
        super().save_model(request, obj, form, change)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Nor gives anybody, or themselves, more rights."""
        fields = super().get_readonly_fields(request, obj)
        return fields if _is_administrator(request) else (*fields, *RIGHTS)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        """As a new password, one that is taken away drops an address that waits."""
        user = self.get_object(request, unquote(id))
        waiting = WaitingAddress.objects.filter(user=user)
        address = waiting.values_list("address", flat=True).first()
        try:
            with transaction.atomic():
                response = super().user_change_password(request, id, form_url)
                if request.method == "POST":
                    self._look_at_sender_again(request, self.has_change_permission)
                    if self.get_object(request, unquote(id)) is None:
                        raise PermissionDenied
        except AccountChanged:
            self.message_user(request, ACCOUNT_CHANGED, messages.ERROR)
            return HttpResponseRedirect(request.path)
        if address and request.method == "POST" and isinstance(response, HttpResponseRedirect):
            waiting.delete()
            self.message_user(request, f"The address {address}, not confirmed yet, is dropped.")
        return response

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_last = obj is not None and services.is_last_administrator(obj)
        return not is_last and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        counts = {
            "users": len(objs),
            "collections": Collection.objects.filter(user__in=objs).count(),
        }
        return [str(obj) for obj in objs], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        services.delete_account(user=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        for user in queryset:
            try:
                services.delete_account(user=user)
            except services.LastAdministrator:
                kept = f"{user} is the last administrator and was kept."
                self.message_user(request, kept, messages.ERROR)

    @admin.action(description="Approve: let them sign in", permissions=["change"])
    def approve(self, request: HttpRequest, users: QuerySet) -> None:
        approved = sum(services.approve_account(user=user) for user in users)
        self.message_user(request, f"{approved} approved.")

    @admin.action(description="Send the mail to confirm the address", permissions=["change"])
    def ask_to_confirm(self, request: HttpRequest, users: QuerySet) -> None:
        waiting = users.filter(waiting_address__isnull=False)
        queued = 0
        for user in waiting:
            try:
                queued += services.ask_to_confirm(user=user)
            except services.MailNotQueued:
                self.message_user(request, "The broker does not answer.", messages.ERROR)
                break
        self.message_user(request, f"{queued} mails queued for {len(waiting)} addresses.")


def _bound(model: type[Model]) -> None:
    """Bound the admin that another package has registered."""
    theirs = type(admin.site.get_model_admin(model))
    admin.site.unregister(model)
    admin.site.register(model, type(theirs.__name__, (BoundedAdmin, theirs), {}))


@admin.register(Group)
class RightsAdmin(BoundedAdmin, GroupAdmin):  # type: ignore[misc] # stubs name other types
    """Django's, but whoever is no administrator gives no rights."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if _is_administrator(request) else (*fields, "permissions")


for _model in (AccessAttempt, AccessFailureLog, AccessLog):
    _bound(_model)
