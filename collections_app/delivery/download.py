"""Download of an archive by its owner.

By object storage if the archive is there, by nginx if configured, else by Django with ranges.
"""

import contextlib
import logging
import os
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import quote
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    HttpResponseRedirect,
)
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.http import content_disposition_header, http_date
from django.views.decorators.http import require_safe

from catalog.storage.transfers import TooManyTransfers, Transfer
from catalog.storage.web_threads import RETRY_SECONDS
from collections_app.delivery.ranges import (
    ByteRange,
    NotSatisfiable,
    Version,
    check_conditions,
    choose_part,
)
from collections_app.models import Collection, Status
from collections_app.storage import (
    ArchiveStore,
    ArchiveTrouble,
    StorageTrouble,
    archive_store,
    plain_name,
)

logger = logging.getLogger(__name__)


@require_safe
@login_required
def collection_download(request: HttpRequest, uuid: UUID) -> HttpResponse | FileResponse:
    """The ZIP of a ready, unexpired collection, for its owner only; resumable."""
    collection = get_object_or_404(Collection.objects.visible_to(request.user), uuid=uuid)
    is_over = collection.expires_at and collection.expires_at < timezone.now()
    if collection.status != Status.READY or is_over:
        return _no_archive(request, collection, status=HTTPStatus.CONFLICT)
    try:
        store = archive_store()
        if address := _sign(request, collection, store):
            return _elsewhere(address)
        return _from_here(request, collection, store)
    except ArchiveTrouble as trouble:
        kind = "missing" if trouble.is_missing else "damaged"
        return _no_archive(request, collection, status=HTTPStatus.GONE, trouble=kind)
    except StorageTrouble as error:
        logger.warning("the archive %s cannot be downloaded: %s", collection.archive_path, error)
        status = HTTPStatus.SERVICE_UNAVAILABLE
        response = _no_archive(request, collection, status=status, trouble="storage")
        response["Retry-After"] = str(RETRY_SECONDS)
        return response


def _sign(request: HttpRequest, collection: Collection, store: ArchiveStore) -> str:
    return store.sign_download(
        collection.archive_path,
        collection.archive_size,
        file_name=_file_name(collection),
        is_head=request.method == "HEAD",
    )


def _elsewhere(address: str) -> HttpResponse:
    """Whoever has the address can download for a while, so it is kept nowhere."""
    return HttpResponseRedirect(address, headers={"Cache-Control": "private, no-store"})


def _from_here(
    request: HttpRequest, collection: Collection, store: ArchiveStore
) -> HttpResponse | FileResponse:
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(
            store.open_archive(collection.archive_path, collection.archive_size)
        )
        if settings.X_ACCEL_PREFIX:
            return _through_nginx(collection)
        response = _answer(request, collection, file)
        if isinstance(response, FileResponse):
            stack.pop_all()
        return response


def _no_archive(
    request: HttpRequest, collection: Collection, *, status: int, trouble: str = ""
) -> HttpResponse:
    context = {"collection": collection, "trouble": trouble}
    return render(request, "collections/no_download.html", context, status=status)


def _through_nginx(collection: Collection) -> HttpResponse:
    """nginx answers ranges, conditions and HEAD itself, from the file behind this header."""
    response = HttpResponse(headers=_describe(collection))
    response["X-Accel-Redirect"] = (
        f"{settings.X_ACCEL_PREFIX}{quote(plain_name(collection.archive_path))}"
    )
    return response


def _answer(
    request: HttpRequest, collection: Collection, file: BinaryIO
) -> HttpResponse | FileResponse:
    size = collection.archive_size or 0
    # The open file's time, as nginx uses it; a rebuilt archive has the same time.
    modified = int(os.fstat(file.fileno()).st_mtime)
    version = Version(f'"{collection.fingerprint}"', modified)
    headers = _describe_version(version)
    status = check_conditions(request.headers, version)
    if status == HTTPStatus.NOT_MODIFIED:
        return HttpResponseNotModified(headers=headers)
    if status != HTTPStatus.OK:
        return HttpResponse(status=status, headers=headers)
    # RFC 9110 defines ranges for GET alone.
    if request.method == "HEAD":
        length = {"Content-Length": str(size)}
        return HttpResponse(headers=headers | _describe(collection) | length)
    try:
        part = choose_part(request.headers, version, size)
    except NotSatisfiable:
        headers["Content-Range"] = f"bytes */{size}"
        return HttpResponse(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
    sent = part or ByteRange(0, size)
    try:
        transfer = Transfer(file, start=sent.start, length=sent.length)
    except TooManyTransfers:
        return _busy(request, collection)
    return _send(transfer, part, size, headers | _describe(collection))


def _send(
    transfer: Transfer, part: ByteRange | None, size: int, headers: dict[str, str]
) -> FileResponse:
    response = FileResponse(transfer)
    # Set afterwards, because FileResponse guesses some of them.
    for name, value in headers.items():
        response[name] = value
    response["Content-Length"] = str(transfer.length)
    if part:
        response.status_code = HTTPStatus.PARTIAL_CONTENT
        response["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return response


def _busy(request: HttpRequest, collection: Collection) -> HttpResponse:
    context = {"collection": collection}
    status = HTTPStatus.SERVICE_UNAVAILABLE
    response = render(request, "collections/download_busy.html", context, status=status)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response


def _file_name(collection: Collection) -> str:
    return f"{collection.slug}.zip"


def _describe(collection: Collection) -> dict[str, str]:
    disposition = content_disposition_header(as_attachment=True, filename=_file_name(collection))
    return {
        "Content-Type": "application/zip",
        "Content-Disposition": disposition or "attachment",
        "Cache-Control": "private, no-cache",
    }


def _describe_version(version: Version) -> dict[str, str]:
    return {
        "ETag": version.etag,
        "Last-Modified": http_date(version.modified),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
    }
