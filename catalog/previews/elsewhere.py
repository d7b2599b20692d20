"""Previews of what lies elsewhere: a worker makes them of one file, and they are kept like others.

A page never fetches. It finds the preview, or why there is none, or leaves a mark and has a worker
asked.
"""

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from catalog.imaging.decoding.decoder import SLOW_SECONDS, UNCLEAR_SECONDS, DecoderFailed
from catalog.imaging.decoding.turns import Busy, Turns
from catalog.imaging.problems import CannotRender
from catalog.models import Image
from catalog.previews.local import (
    PREVIEW_SIZES,
    cache_file,
    draw_previews,
    find_cached_preview,
    preview_key,
    raise_refusal,
    remember_refusal,
    say_shown_file,
)
from catalog.storage.download import download
from catalog.storage.problems import Changed, SourceProblem
from catalog.storage.retries import try_again
from catalog.storage.sources import can_fetch, list_files, name_release
from catalog.wording.formats import file_size
from vocab.models import Kind

# A task that has waited so long is of a page that somebody has left.
EXPIRES_SECONDS = 60
# What the limits of the task leave for listing, fetching and drawing.
TASK_SECONDS = 30
REQUEST_SECONDS = 10
# Once more: somebody waits for the picture.
_PAUSES = (1.0,)
_MARK_SECONDS = EXPIRES_SECONDS + TASK_SECONDS + 10
_ASKED = ".asked"
# A worker with several processes fetches as many as pictures are drawn at a time.
_turns = Turns(settings.VAR_DIR / "fetching-previews", most_waiting=2)


def may_have_preview(address: str, kind: str) -> bool:
    """Whether a preview can be made of what lies at an address, if it is of this kind."""
    return kind == Kind.PICTURE and settings.REMOTE_PREVIEW_MAX_BYTES > 0 and can_fetch(address)


def is_previewed_remotely(image: Image) -> bool:
    """Whether its file is elsewhere, and a preview of it can be made."""
    kind = image.modality.kind if image.modality else Kind.PICTURE
    return not image.is_local and may_have_preview(image.remote_url, kind)


def raise_known_problem(image: Image) -> None:
    """Raises CannotRender if it is known that there is no preview of what lies elsewhere."""
    raise_refusal(_refusal_file(image))


def is_asked_for(image: Image) -> bool:
    """Whether a worker was asked for the previews lately and has not answered."""
    try:
        # A mark of the future was made before the clock was set back.
        return abs(time.time() - _asked_file(image).stat().st_mtime) < _MARK_SECONDS
    except OSError:
        return False


def mark_as_asked_for(image: Image) -> bool:
    """Whether this is the one request that asks a worker now.

    Raises:
        CannotRender: a preview could not be kept.
    """
    path = _asked_file(image)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < settings.PREVIEW_RESERVE_BYTES:
            raise CannotRender("The server has no room for it.")
        if path.exists() and not is_asked_for(image):
            path.unlink(missing_ok=True)
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError as error:
        raise CannotRender("The server cannot keep it.") from error
    return True


def forget_request(image: Image) -> None:
    """The worker has answered, or could not be asked."""
    with contextlib.suppress(OSError):
        _asked_file(image).unlink(missing_ok=True)


def make_remote_previews(*, image_id: int) -> None:
    """Fetch one file of what lies elsewhere, and keep its previews, or why there are none."""
    image = Image.objects.select_related("modality", "dataset").filter(pk=image_id).first()
    if image is None or not is_previewed_remotely(image):
        return
    try:
        # Who asks again finds that nothing was made; then it is somebody's turn.
        with contextlib.suppress(Busy), _turns.take(preview_key(image)) as wait_for_slot:
            wait_for_slot()
            if not _is_made(image):
                _make(image)
    finally:
        forget_request(image)


def _is_made(image: Image) -> bool:
    try:
        raise_known_problem(image)
    except CannotRender:
        return True
    return all(find_cached_preview(image, size) for size in PREVIEW_SIZES.values())


def _make(image: Image) -> None:
    try:
        _fetch_and_draw(image)
    except CannotRender as error:
        remember_refusal(_refusal_file(image), error)
    except SourceProblem as error:
        problem = name_release(error, image.remote_url, image.dataset.idc_release)
        seconds = SLOW_SECONDS if problem.is_lasting else UNCLEAR_SECONDS
        remember_refusal(_refusal_file(image), DecoderFailed(_say(problem), seconds))
    except SoftTimeLimitExceeded:
        slow = DecoderFailed("Fetching it took too long just now.", UNCLEAR_SECONDS)
        remember_refusal(_refusal_file(image), slow)


def _fetch_and_draw(image: Image) -> None:
    listed = try_again(
        lambda: list_files(image.remote_url, seconds=REQUEST_SECONDS), pauses=_PAUSES
    )
    files = [file for file in listed if file.size] or listed
    middle = len(files) // 2
    notes: tuple[str, ...] = ()
    if len(files) > 1:
        notes = (say_shown_file(len(files)),)
    middle_file, most = files[middle], settings.REMOTE_PREVIEW_MAX_BYTES
    if middle_file.size > most:
        size = file_size(middle_file.size)
        raise Changed(f"a file of it has {size}, and {file_size(most)} are fetched")
    with tempfile.NamedTemporaryFile() as copy:
        path = Path(copy.name)

        def fetch_once() -> None:
            with path.open("wb") as output:
                download(output, image.remote_url, middle_file, seconds=REQUEST_SECONDS)

        try_again(fetch_once, pauses=_PAUSES)
        with path.open("rb") as file:
            draw_previews(file, middle_file.name, preview_key(image), notes)


def _say(problem: SourceProblem) -> str:
    text = str(problem)
    return f"{text[:1].upper()}{text[1:]}."


def _asked_file(image: Image) -> Path:
    return cache_file(preview_key(image), 0).with_suffix(_ASKED)


def _refusal_file(image: Image) -> Path:
    """One for all sizes."""
    return cache_file(preview_key(image), 0)
