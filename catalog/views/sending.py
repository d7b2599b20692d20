"""Sends an answer that is longer than the kernel takes at once, to whoever may not read it."""

import logging

from django.conf import settings
from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase

from catalog.storage.transfers import NoRoom, TooManyTransfers, spool_transfer

logger = logging.getLogger(__name__)

# The kernel takes so many bytes of an answer at once, also where it limits send buffers to the
# usual 212,992 and a client's packets are tiny: a shorter one holds no thread if it is not read.
MAX_AT_ONCE = 150_000


def send_whole(body: bytes, content_type: str) -> HttpResponseBase | None:
    """The answer, as one of the files that are sent at a time if it is large; None if none may."""
    if len(body) <= MAX_AT_ONCE:
        return HttpResponse(body, content_type=content_type)
    try:
        transfer = spool_transfer(settings.ARCHIVE_ROOT, [body])
    except TooManyTransfers:
        return None
    except NoRoom as error:
        logger.error("a long answer could not be written: %s", error)
        return None
    headers = {"Content-Length": str(transfer.length)}
    return FileResponse(transfer, content_type=content_type, headers=headers)
