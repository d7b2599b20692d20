"""Signing in by user name or confirmed address, and whom failed sign-ins are counted for."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse

from medagg.accounts.addresses import write_domain_as_mail
from medagg.accounts.links import owner_of
from medagg.throttling import too_many

MAX_TYPED = 255


def find_account(typed: str) -> User | None:
    """The account with this name or confirmed address, in upper or lower case.

    An address comes first: a name that looks like one proves nothing.
    """
    users = get_user_model()._default_manager
    typed = typed.strip()
    return _owner_of(typed) or users.filter(username__iexact=typed).first()


def _owner_of(typed: str) -> User | None:
    try:
        return owner_of(write_domain_as_mail(typed)) if "@" in typed else None
    except UnicodeError:
        return None


class NameOrAddressBackend(ModelBackend):
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        if username is None or password is None:
            return None
        user = find_account(username)
        if user is None:
            # Takes as long as checking a password, so that names cannot be told by the time.
            get_user_model()().set_password(password)
            return None
        # An inactive user too: the form refuses them, and says why.
        return user if user.check_password(password) else None


def counted_name(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """The name for which a failed sign-in counts: the same for each spelling of an account."""
    given = credentials if credentials else request.POST
    typed = str(given.get("username") or "").replace("\0", "")
    account = find_account(typed)
    return account.get_username() if account else typed.strip().lower()[:MAX_TYPED]


def locked_out(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    return too_many(request, int(settings.AXES_COOLOFF_TIME.total_seconds()))
