"""Forms of the account pages: they parse and validate; ``services`` decides."""

import re
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.forms import (
    AdminPasswordChangeForm,
    AuthenticationForm,
    BaseUserCreationForm,
    PasswordChangeForm,
    SetPasswordForm,
    SetPasswordMixin,
)
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from medagg.accounts.addresses import MAX_ADDRESS, AddressField

# Letters of other scripts look like these: two accounts must not seem to have one name. Without @,
# as a name must not look like somebody's address.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
ACCOUNT_CHANGED = (
    "The password was not set: this account was changed in the same moment. "
    "Look at it, and try again."
)
NAME_TAKEN = "This user name is taken. Choose another one."


def check_name(name: str) -> str:
    """The name of a new account. Raises ValidationError if it may not have it."""
    if not NAME.fullmatch(name):
        raise ValidationError("Use letters from a to z, digits, and . _ + - after the first one.")
    return name


class SignUpForm(BaseUserCreationForm):
    email = AddressField(
        required=False,
        label="E-mail (optional)",
        help_text="Used to reset a forgotten password, and to tell you that a collection is ready "
        "when you ask for it. You will get a mail with a link to confirm it.",
    )

    class Meta(BaseUserCreationForm.Meta):
        fields = ("username",)
        labels = {"username": "User name"}
        help_texts = {
            "username": "Letters from a to z, digits, and . _ + - after the first. Upper and lower "
            "case are the same."
        }
        # Of who took it after clean_username has looked.
        error_messages = {"username": {"unique": NAME_TAKEN}}

    field_order = ("username", "email", "password1", "password2")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not settings.EMAIL_IS_CONFIGURED:
            self.fields["email"].help_text = (
                "You can sign in with it once it is confirmed. This server is not set up to send "
                "mail: ask the person who runs it for the link."
            )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        # For the check whether the password is like it; the account gets it once it is confirmed.
        self.instance.email = cleaned.get("email", "")
        return cleaned

    def clean_username(self) -> str:
        username = check_name(self.cleaned_data["username"])
        if get_user_model()._default_manager.filter(username__iexact=username).exists():
            raise ValidationError(NAME_TAKEN)
        return username


class SignInForm(AuthenticationForm):
    error_messages = {
        "invalid_login": "No account has this user name or confirmed address together with this "
        "password. Upper and lower case matter in passwords only.",
        "inactive": "This account cannot sign in: it waits for approval, or the people who run "
        "this server have closed it. Ask them.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        username = self.fields["username"]
        username.label = "User name or e-mail address"
        username.widget.attrs["maxlength"] = MAX_ADDRESS


class ResetForm(forms.Form):
    email = AddressField(label="E-mail address")


class PasswordForm(forms.Form):
    """Asks for the password of the user once more."""

    password = forms.CharField(
        strip=False,
        label="Your password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise ValidationError("This is not your password.")
        return password


class AddressForm(PasswordForm):
    email = AddressField(
        required=False,
        label="New e-mail address",
        help_text="Leave it empty to have no address. Then you can neither sign in with one nor "
        "reset a forgotten password by mail.",
    )
    field_order = ("email", "password")

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        if email and email.lower() == self.user.email.lower():
            raise ValidationError("This is your address already.")
        return email


class AccountChanged(Exception):
    """Password or address are others than when the form was opened, or the account is gone."""


class PasswordAlone(SetPasswordMixin):
    """Writes the password alone. Django's forms write the whole account as it was before hashing.

    An operator may have locked it meanwhile, or taken rights away, or deleted it; and its owner may
    have set a password against whoever knew the old one, or had an address confirmed.
    """

    def set_password_and_save(self, user: Any, *args: Any, commit: bool = True, **rest: Any) -> Any:
        """Raises AccountChanged."""
        same = {"pk": user.pk, "password": user.password, "email": user.email}
        super().set_password_and_save(user, *args, **{**rest, "commit": False})
        if commit:
            with transaction.atomic():
                if not User.objects.select_for_update(no_key=True).filter(**same).exists():
                    raise AccountChanged
                user.save(update_fields=["password"])
        return user


class NewPasswordForm(PasswordAlone, SetPasswordForm):
    """For who has a link of a mail."""


class OwnPasswordForm(PasswordAlone, PasswordChangeForm):
    """For who knows the old one."""


class PasswordOfAnotherForm(PasswordAlone, AdminPasswordChangeForm):
    """For operators."""
