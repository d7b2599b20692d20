"""Signing in by user name or confirmed address, and whom failed sign-ins are counted for."""

import unicodedata
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from medagg.accounts.addresses import write_domain_as_mail
from medagg.accounts.hashing import renew_hash
from medagg.accounts.links import owner_of
from medagg.throttling import too_many

MAX_TYPED = 255


def find_account(typed: str) -> User | None:
    """The account with this name or confirmed address, in upper or lower case.

    An address comes first: a name that looks like one proves nothing. Such a name is compared as
    failures are counted, lest each further spelling of it has a lock of its own.
    """
    users = get_user_model()._default_manager
    typed = typed.strip()[:MAX_TYPED]
    same = Q(username__iexact=_spell(typed)) | Q(username=typed)
    return _owner_of(typed) or users.filter(same).first()


def _owner_of(typed: str) -> User | None:
    return owner_of(_spell(typed)) if "@" in typed else None


def _spell(typed: str) -> str:
    """An address as it is stored; everything else as it is, and no more of it than either has."""
    typed = typed[:MAX_TYPED]  # first, as some signs become many letters
    try:
        return write_domain_as_mail(typed) if "@" in typed else typed
    except UnicodeError:
        return typed


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
        if not user.check_password(password):
            return None
        renew_hash(user, password)
        return user


def counted_name(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """What a failed sign-in counts for: all spellings of a name, or of an address, are one.

    Whether an account has either makes no difference, so that a lock tells nobody.
    """
    # What was typed first: after a sign-in by address axes asks for the account by its name.
    typed = request.POST.get("username") or (credentials or {}).get("username")
    return _count_as(str(typed or ""))


def _count_as(typed: str) -> str:
    # As the form reads a name, without space before it is cut, and in capitals, as the database
    # compares.
    plain = unicodedata.normalize("NFKC", typed.strip()[:MAX_TYPED])
    return _spell(plain.replace("\0", "").strip()).upper()[:MAX_TYPED]


def counted_names(user: User) -> list[str]:
    """What failed sign-ins to an account count for."""
    return [_count_as(typed) for typed in (user.get_username(), user.email) if typed]


def locked_out(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    return too_many(request, int(settings.AXES_COOLOFF_TIME.total_seconds()))
