"""Handing an archive to its owner: through nginx where there is one, else with ranges by us."""

from typing import Any, BinaryIO
from urllib.parse import quote
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.http import content_disposition_header, http_date
from django.views.decorators.http import require_safe

from collections_app.archive_files import archive_file
from collections_app.models import Collection, Status
from collections_app.ranges import ByteRange, NotSatisfiable, parse_range

BLOCK = 1 << 20


@require_safe
@login_required
def collection_download(request: HttpRequest, uuid: UUID) -> HttpResponse | FileResponse:
    """The ZIP of a ready collection: owner only, unexpired, resumable."""
    collection = get_object_or_404(Collection.objects.visible_to(request.user), uuid=uuid)
    is_over = collection.expires_at and collection.expires_at < timezone.now()
    if collection.status != Status.READY or is_over:
        return _not_there(request, collection, status=409)
    try:
        file = archive_file(collection.archive_path).open("rb")
    except FileNotFoundError:
        return _not_there(request, collection, status=410)
    if settings.X_ACCEL_PREFIX:
        file.close()
        return _through_nginx(collection)
    return _serve(request, collection, file)


def _not_there(request: HttpRequest, collection: Collection, *, status: int) -> HttpResponse:
    context = {"collection": collection, "is_gone": status == 410}
    return render(request, "collections/no_download.html", context, status=status)


def _through_nginx(collection: Collection) -> HttpResponse:
    """nginx answers ranges, conditions and HEAD itself, from the file behind this header."""
    response = HttpResponse()
    response["X-Accel-Redirect"] = f"{settings.X_ACCEL_PREFIX}{quote(collection.archive_path)}"
    _describe(response, collection)
    return response


def _serve(
    request: HttpRequest, collection: Collection, file: BinaryIO
) -> HttpResponse | FileResponse:
    size = collection.archive_size or 0
    etag = f'"{collection.fingerprint}"'
    if etag in request.headers.get("If-None-Match", ""):
        file.close()
        return HttpResponseNotModified(headers={"ETag": etag})
    try:
        part = parse_range(request.headers.get("Range", ""), size)
    except NotSatisfiable:
        file.close()
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    if request.headers.get("If-Range", etag) != etag:
        part = None
    response = FileResponse(Window(file, part or ByteRange(0, size)), status=206 if part else 200)
    _describe(response, collection)
    response["ETag"] = etag
    response["Accept-Ranges"] = "bytes"
    response["Content-Length"] = str(part.length if part else size)
    if part:
        response["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return response


def _describe(response: HttpResponse | FileResponse, collection: Collection) -> None:
    response["Content-Type"] = "application/zip"
    response["Content-Disposition"] = content_disposition_header(
        as_attachment=True, filename=f"{collection.slug}.zip"
    ) or "attachment"  # fmt: skip
    response["Cache-Control"] = "private, no-cache"
    if collection.finished_at:
        response["Last-Modified"] = http_date(collection.finished_at.timestamp())


class Window:
    """A part of an open file that reads like a file; has a descriptor, for ``sendfile``."""

    def __init__(self, file: BinaryIO, part: ByteRange) -> None:
        self._file = file
        self._left = part.length
        file.seek(part.start)

    def read(self, size: int = BLOCK) -> bytes:
        block = self._file.read(min(size, self._left))
        self._left -= len(block)
        return block

    def fileno(self) -> int:
        return self._file.fileno()

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)
