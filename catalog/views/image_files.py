"""An image's preview, what is said of it, and the file itself."""

import contextlib
import errno
import tempfile
from typing import Any, BinaryIO

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils.http import content_disposition_header, http_date
from django.views.decorators.http import require_safe

from catalog.deidentification import (
    deidentifies_on_delivery,
    deidentify_file,
    must_be_deidentified,
)
from catalog.files import find_nginx_address, is_known_to_identify, may_identify, open_image
from catalog.imaging.paths import UnsafePath
from catalog.imaging.preview import CONTENT_TYPE, Preview
from catalog.imaging.problems import NotReadable
from catalog.models import Image
from catalog.previews.elsewhere import is_previewed_remotely
from catalog.previews.local import NO_PREVIEW, PREVIEW_SIZES, Busy, cached_preview, preview_etag
from catalog.storage.transfers import TooManyTransfers, Transfer
from catalog.storage.web_threads import RETRY_SECONDS, FewAtATime, NoThreadLeft, hold_thread
from catalog.views.remote_previews import Later, find_or_ask_for_preview

# So many files are read or de-identified at a time by a process.
_reading = FewAtATime(2)


@require_safe
def image_preview(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The image as a small WebP; ``?size=`` picks one of PREVIEW_SIZES."""
    image = get_object_or_404(
        Image.objects.visible_to(request.user).select_related("dataset", "modality"), pk=pk
    )
    size = PREVIEW_SIZES.get(request.GET.get("size", "small"), PREVIEW_SIZES["small"])
    if not image.is_local and not is_previewed_remotely(image):
        return HttpResponse("This image has no file here.", status=404, content_type="text/plain")
    etag = preview_etag(image, size)
    if request.headers.get("If-None-Match") == etag:
        return HttpResponseNotModified()
    try:
        body = _find_preview(request, image, size).body
    except Later as later:
        return HttpResponse(
            f"No preview yet: {later.reason}.",
            status=later.status,
            content_type="text/plain; charset=utf-8",
            headers={"Retry-After": str(later.retry_seconds), "Cache-Control": "no-store"},
        )
    except Busy:
        return _no_preview_yet()
    except NO_PREVIEW as error:
        return HttpResponse(
            _explain_no_preview(error),
            status=404,
            content_type="text/plain; charset=utf-8",
            headers={"Cache-Control": "private, max-age=60"},
        )
    response = HttpResponse(body, content_type=CONTENT_TYPE)
    response["ETag"] = etag
    response["Cache-Control"] = "private, max-age=86400"
    return response


def _no_preview_yet() -> HttpResponse:
    return HttpResponse(
        "No preview yet: the server draws as many as it can. Please try again in a moment.",
        status=503,
        content_type="text/plain; charset=utf-8",
        headers={"Retry-After": str(Busy.retry_seconds)},
    )


def _find_preview(request: HttpRequest, image: Image, size: int) -> Preview:
    if image.is_local:
        return cached_preview(image, size)
    return find_or_ask_for_preview(request, image, size)


@require_safe
def image_preview_notes(request: HttpRequest, pk: int) -> HttpResponse:
    """What to say of the large preview, or why there is none; a part of the image's page."""
    image = get_object_or_404(
        Image.objects.visible_to(request.user).select_related("dataset", "modality"), pk=pk
    )
    context: dict[str, Any] = {"image": image}
    try:
        context["notes"] = _find_preview(request, image, PREVIEW_SIZES["large"]).notes
    except Later as later:
        context |= {"retry_seconds": later.retry_seconds, "later": later.reason}
    except Busy:
        context |= {"retry_seconds": Busy.retry_seconds, "later": Busy.reason}
    except NO_PREVIEW as error:
        context["reason"] = _explain_no_preview(error)
    return render(request, "catalog/_preview_notes.html", context)


def _explain_no_preview(error: Exception) -> str:
    reason = str(getattr(error, "reason", "the file cannot be read"))
    return f"No preview: {reason.rstrip('.')}."


@require_safe
def image_file(request: HttpRequest, pk: int) -> HttpResponse | FileResponse:
    """The file itself, byte for byte; one that may tell who somebody is, for signed-in users.

    Where the operator wants that, DICOM files are de-identified.
    """
    image = get_object_or_404(
        Image.objects.visible_to(request.user).select_related("dataset"), pk=pk
    )
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_image(image))
            if not request.user.is_authenticated and _may_identify(image, file):
                return redirect_to_login(request.get_full_path())
            transfer = _deidentify(file) if deidentifies_on_delivery() else None
            if not transfer:
                if nginx_address := find_nginx_address(image, file):
                    headers = _describe_file(image) | {"X-Accel-Redirect": nginx_address}
                    return HttpResponse(headers=headers)
                transfer = Transfer(file)
        except NoThreadLeft:
            return _busy(request, image)
        except NotReadable as error:
            context = {"image": image, "reason": error.reason}
            return render(request, "catalog/image_file_withheld.html", context, status=404)
        except (UnsafePath, OSError):
            return render(request, "catalog/image_file_gone.html", {"image": image}, status=404)
        stack.pop_all()
    headers = _describe_file(image) | {"Content-Length": str(transfer.length)}
    if image.mtime_ns:
        headers["Last-Modified"] = http_date(image.mtime_ns // 10**9)
    return FileResponse(transfer, headers=headers)


def _may_identify(image: Image, file: BinaryIO) -> bool:
    known = is_known_to_identify(image, file)
    if known is not None:
        return known
    with hold_thread(), _reading.turn():
        return may_identify(file)


def _deidentify(file: BinaryIO) -> Transfer | None:
    """The DICOM file, which is closed, de-identified; None if it need not be.

    It counts as a file that is sent before the work is done.

    Raises:
        NotReadable: it cannot be de-identified.
        NoThreadLeft: too many others are sent or de-identified, or lie on the disk.
    """
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryFile(dir=settings.VAR_DIR))
        transfer = Transfer(made)
        stack.callback(transfer.close)
        try:
            with _reading.turn():
                if not must_be_deidentified(file):
                    return None
                with file:
                    deidentify_file(file, made)
        except OSError as error:
            if error.errno == errno.ENOSPC:  # until others have theirs
                raise TooManyTransfers from error
            raise
        transfer.start_again()
        stack.pop_all()
    return transfer


def _describe_file(image: Image) -> dict[str, str]:
    name = image.file_path.rsplit("/", 1)[-1]
    disposition = content_disposition_header(as_attachment=True, filename=name) or "attachment"
    return {
        # What a browser guesses from untrusted bytes must never run as a page.
        "Content-Type": "application/octet-stream",
        "Content-Disposition": disposition,
        # Whether somebody may have it depends on who asks, also of one browser's users.
        "Cache-Control": "private, no-cache",
    }


def _busy(request: HttpRequest, image: Image) -> HttpResponse:
    response = render(request, "catalog/image_file_busy.html", {"image": image}, status=503)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response
