"""The mail about an ended build, for owners who asked for it."""

import logging
import smtplib
from datetime import timedelta

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import QuerySet
from django.utils import timezone

from collections_app.models import Collection, Reason, Status
from collections_app.notices.message import codes_of, make_mail, may_work_later, send_mail

logger = logging.getLogger(__name__)

# A later mail would confuse more than help, and the collection's page has the same facts.
GIVE_UP_AFTER = timedelta(days=1)


def find_due_mails() -> list[int]:
    """Ids of the collections with a due mail; a pending collection has none."""
    return list(_due().order_by("finished_at").values_list("pk", flat=True))


def send_due_mails() -> None:
    """Send all due mails; stop when the mail server does not answer.

    A mailbox that takes none for now is asked once: it may have hundreds to come.
    """
    waiting = set()
    for collection_id, owner in _due().order_by("finished_at").values_list("pk", "user"):
        if owner in waiting:
            continue
        if not send_mail_once(collection_id=collection_id):
            return
        if _due().filter(pk=collection_id).exists():
            waiting.add(owner)


def _due() -> QuerySet[Collection]:
    return Collection.objects.filter(mail_is_due=True, status__in=(Status.READY, Status.FAILED))


def send_mail_once(*, collection_id: int) -> bool:
    """Send the mail if it is due, only once even if several workers call this.

    If the mail server refuses it for now, it stays due and the next sweep tries again. One day
    after the end of the build it is given up. Returns False if the server does not answer.
    """
    claimed = Collection.objects.filter(
        pk=collection_id, mail_is_due=True, status__in=(Status.READY, Status.FAILED)
    ).update(mail_is_due=False)
    if not claimed:
        return True
    collection = Collection.objects.select_related("user").filter(pk=collection_id).first()
    if collection is None or not _is_wanted(collection):
        return True
    return _send(collection)


def _send(collection: Collection) -> bool:
    try:
        send_mail(_write_mail(collection))
    except smtplib.SMTPRecipientsRefused as error:
        level = logging.ERROR
        if may_work_later(error):
            _keep_due(collection)
            level = logging.WARNING
        said = "collection %s: the address is refused: %s"
        logger.log(level, said, collection.uuid, codes_of(error))
    except ValueError as error:
        logger.error("collection %s: the mail cannot be written: %s", collection.uuid, error)
    except smtplib.SMTPResponseException as error:
        _keep_due(collection)
        logger.warning("collection %s: the mail was refused: %s", collection.uuid, error.smtp_code)
    except (smtplib.SMTPException, OSError) as error:
        _keep_due(collection)
        logger.warning("collection %s: the mail was not sent: %s", collection.uuid, error)
        return False
    except SoftTimeLimitExceeded:
        _keep_due(collection)
        raise
    return True


def _keep_due(collection: Collection) -> None:
    """Keep the mail due, unless the collection was queued again meanwhile."""
    same = Collection.objects.filter(pk=collection.pk, finished_at=collection.finished_at)
    same.update(mail_is_due=True)


def _is_wanted(collection: Collection) -> bool:
    """Whether the owner can read the mail and does not know its contents yet."""
    user, ended_at = collection.user, collection.finished_at
    if not (user.is_active and user.email):
        return False
    if collection.builds.newest().filter(reason=Reason.CANCELLED).exists():
        return False
    if ended_at is None or ended_at < timezone.now() - GIVE_UP_AFTER:
        logger.error("collection %s: the mail was given up after a day", collection.uuid)
        return False
    return collection.status in (Status.READY, Status.FAILED)


def _write_mail(collection: Collection) -> EmailMessage:
    context = {
        "collection": collection,
        "url": f"{settings.SITE_URL}{collection.get_absolute_url()}",
    }
    ending = "is ready" if collection.status == Status.READY else "could not be built"
    return make_mail(
        f"Your collection at medagg {ending}",
        f"collections/mail/{collection.status}.txt",
        context,
        address=collection.user.email,
    )
