"""Services for accounts: sign up, confirm an address, ask for a new password, delete."""

from axes.utils import reset as reset_sign_ins
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from collections_app import services as collections
from medagg import tasks
from medagg.accounts.backends import counted_names
from medagg.accounts.links import read_token
from medagg.models import Session, WaitingAddress
from medagg.throttling import HOUR, Rate

# No address gets more mails than these, whoever asks for them. Two rates: whoever has one kind sent
# to an address must not keep its owner from the other.
CONFIRMATIONS = Rate("confirmations", 3, HOUR)
# Whoever can think of many addresses does not have mails sent to all of them.
CONFIRMATIONS_OF_CLIENT = Rate("confirmations of a client", 30, HOUR)
CONFIRMATIONS_OF_ALL = Rate("confirmations of all", 1000, HOUR)
RESETS = Rate("resets", 3, HOUR)
APPROVAL_MAILS = Rate("approval mails", 1, HOUR)


class NameTaken(Exception):
    """Another account has this name, up to upper and lower case."""


class AddressTaken(Exception):
    """Another account has confirmed this address."""


class LastAdministrator(Exception):
    """Nobody could administer the site without this account."""


class TooManyMails(Exception):
    """As many mails were sent within the hour as may be: to the address, for the client, or all."""


class MailNotQueued(Exception):
    """The broker does not answer, so no mail will be sent."""


def sign_up(*, user: User, address: str) -> User:
    """Save a new user; the address, if any, must still be confirmed (``ask_to_confirm``).

    The account is inactive if an operator has to approve it.

    Raises:
        NameTaken: somebody was faster.
    """
    user.email = ""
    user.is_active = not settings.REGISTRATION_NEEDS_APPROVAL
    try:
        with transaction.atomic():
            user.save()
            if address:
                WaitingAddress.objects.create(user=user, address=address)
    except IntegrityError as error:
        raise NameTaken from error
    return user


def tell_operators() -> None:
    """Have the administrators told that an account waits, at most once an hour."""
    if not APPROVAL_MAILS.hit("all"):
        tasks.enqueue(tasks.send_approval_needed_task)


def change_address(*, user: User, address: str) -> bool:
    """Store an address that must still be confirmed (``ask_to_confirm``); empty: have none.

    False if the account is deleted meanwhile, or its password is another than was checked.
    """
    old = user.email
    with transaction.atomic():
        # As a deletion does.
        accounts = User.objects.select_for_update(no_key=True)
        same = accounts.filter(pk=user.pk, password=user.password)
        if not same.exists():
            return False
        if address:
            WaitingAddress.objects.update_or_create(user=user, defaults={"address": address})
            return True
        WaitingAddress.objects.filter(user=user).delete()
        User.objects.filter(pk=user.pk).update(email="")
    if old:
        tasks.enqueue(tasks.send_address_changed_task, old, user.pk)
    return True


def ask_to_confirm(*, user: User, client: str = "") -> bool:
    """Have the link sent that confirms the waiting address; False if its mailbox gets no more now.

    Who asks must not be told that: it would say that others have entered this address. ``client``
    is the network address of whoever asks, unless it is an operator.

    Raises:
        TooManyMails: no further mail of this client, or of all, within this hour.
        MailNotQueued: the broker does not answer.
    """
    waiting = WaitingAddress.objects.filter(user=user).first()
    # What is refused for one reason does not count for the next. Strangers who use up what all may
    # have sent do not keep operators from helping.
    if client and CONFIRMATIONS_OF_CLIENT.hit(client):
        raise TooManyMails
    if waiting is None or CONFIRMATIONS.hit(_counted(waiting.address)):
        return False
    if client and CONFIRMATIONS_OF_ALL.hit(""):
        raise TooManyMails
    if not tasks.enqueue(tasks.send_confirmation_task, user.pk):
        raise MailNotQueued
    return True


def confirm_address(*, token: str) -> User | None:
    """Make the address of a link the user's own; None if the link is not valid (any more).

    Raises:
        AddressTaken: another account has confirmed it meanwhile.
    """
    waiting = read_token(token)
    if waiting is None:
        return None
    user, old = waiting.user, waiting.user.email
    try:
        with transaction.atomic():
            # First, as whatever else locks both.
            User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
            # Another address may have been entered in this moment.
            same = WaitingAddress.objects.filter(user=user, address=waiting.address)
            if not same.delete()[0]:
                return None
            User.objects.filter(pk=user.pk).update(email=waiting.address)
    except IntegrityError as error:
        raise AddressTaken from error
    if old and old.lower() != waiting.address.lower():
        tasks.enqueue(tasks.send_address_changed_task, old, user.pk)
    user.refresh_from_db()
    return user


def ask_for_password(*, address: str) -> None:
    """Have a link to set a new password sent; does the same whether an account has the address.

    Raises:
        MailNotQueued: the broker does not answer.
    """
    if RESETS.hit(_counted(address)):
        return
    if not tasks.enqueue(tasks.send_password_reset_task, address):
        raise MailNotQueued


def _counted(address: str) -> str:
    """What mails to an address are counted by: the database compares in capitals, too."""
    return address.upper()


def approve_account(*, user: User) -> bool:
    """Let an inactive user sign in, and say so by mail; False if it is active already."""
    approved = User.objects.filter(pk=user.pk, is_active=False).update(is_active=True)
    if approved:
        tasks.enqueue(tasks.send_approved_task, user.pk)
    return bool(approved)


def unlock(*, user: User) -> None:
    """Forget failed sign-ins by name and by address, as after a new password."""
    for name in counted_names(user):
        reset_sign_ins(username=name)


def is_last_administrator(user: User) -> bool:
    return list(_administrators().values_list("pk", flat=True)[:2]) == [user.pk]


def _administrators() -> QuerySet[User]:
    return User.objects.filter(is_superuser=True, is_active=True)


def delete_account(*, user: User) -> None:
    """Delete a user and all that is kept of them: collections, archives, sessions, sign-ins.

    Collections go first, one by one; after an error the account is there with those that are left.

    Raises:
        LastAdministrator: no other active administrator is there.
    """
    if is_last_administrator(user):
        raise LastAdministrator
    user_id = user.pk
    collections.delete_collections(user=user)
    with transaction.atomic():
        if user.is_superuser:
            _keep_an_administrator(user)
        # It may wait for a freeze of theirs; what other requests wait for is locked after that.
        collections.delete_account(user=user)
        unlock(user=user)
        Session.objects.filter(user_id=user_id).delete()
        _forget_history(user_id)


def _forget_history(user_id: int) -> None:
    """What the admin's history says of the user, by name; their collections see to their own."""
    kind = ContentType.objects.get_for_model(User)
    LogEntry.objects.filter(content_type=kind, object_id=str(user_id)).delete()


def _keep_an_administrator(user: User) -> None:
    # All of them, in one order: two who delete themselves at a time wait for each other.
    # no_key: rows that refer to them can still be inserted, such as what their builds fetched.
    admins = _administrators().select_for_update(no_key=True)
    if list(admins.order_by("pk").values_list("pk", flat=True)) == [user.pk]:
        raise LastAdministrator
