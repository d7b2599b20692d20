"""The client of the object storage: made from settings, its errors explained.

botocore, because uploads must be aborted and listed (ADR-0017).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from catalog.storage.turns import CircuitBreaker
from catalog.storage.web_threads import FOR_PAGES
from collections_app.storage.base import StorageTrouble
from collections_app.storage.patience import PAGE_SECONDS, find_patience
from collections_app.storage.place import find_mistakes

logger = logging.getLogger(__name__)

# So often is a request sent in all, with growing pauses, and so long may it say nothing.
ATTEMPTS = 4
CONNECT_SECONDS = 5
STALL_SECONDS = 30
ERRNO = 121  # EREMOTEIO, which macOS has no name for

_BUSY = {429, 500, 502, 503, 504}
_SENTENCES = {
    "NoSuchBucket": "the bucket of archives does not exist; tell the operator",
    "NoSuchUpload": "its upload was ended from outside; try again",
    "RequestTimeTooSkewed": "this server's clock differs from the object storage's; tell the "
    "operator",
}
_REFUSED = "the object storage refuses medagg's keys; tell the operator"
_IS_BUSY = "the object storage is too busy; try again later"
_SILENT = "the object storage does not answer; try again later"
# As archives are sent there; copies by other programs may have a general type.
_TYPES_OF_ARCHIVES = (
    "application/zip",
    "application/x-zip-compressed",
    "application/octet-stream",
    "binary/octet-stream",
)
MISUNDERSTOOD = "the object storage does not do what it is asked to; tell the operator"


def make_client(*, is_public: bool = False) -> Any:
    """For requests; with ``is_public`` only to sign addresses for browsers.

    Where others wait, it asks once, and not for long.
    """
    patience = find_patience()
    refuse_mistakes()
    public = settings.ARCHIVE_S3_PUBLIC_ENDPOINT if is_public else ""
    return _make_client(
        public or settings.ARCHIVE_S3_ENDPOINT,
        settings.ARCHIVE_S3_REGION,
        settings.ARCHIVE_S3_ACCESS_KEY_ID,
        settings.ARCHIVE_S3_SECRET_ACCESS_KEY,
        ATTEMPTS if patience is None else 1,
        STALL_SECONDS if patience is None else patience,
    )


def refuse_mistakes() -> None:
    """Raises StorageTrouble if the settings cannot be right; the log has what is wrong."""
    if mistakes := find_mistakes():
        logger.error("%s", " ".join(mistakes))
        raise StorageTrouble(ERRNO, "the object storage is not set up; tell the operator")


@lru_cache(maxsize=4)
def _make_client(
    endpoint: str, region: str, key: str, secret: str, attempts: int, seconds: float
) -> Any:
    session = botocore.session.Session()
    # Nothing but our own settings counts.
    session.set_config_variable("config_file", "")
    session.set_config_variable("credentials_file", "")
    client = session.create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint or None,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(
            signature_version="s3v4",
            connect_timeout=min(seconds, CONNECT_SECONDS),
            read_timeout=seconds,
            retries={"mode": "standard", "total_max_attempts": attempts},
            # Servers other than AWS's know no names of buckets in their own, and no trailers.
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent="medagg",
        ),
    )
    client.meta.events.register_last("before-parameter-build.s3", _follow_no_redirect)
    for operation in ("GetObject", "HeadObject"):
        client.meta.events.register_first(f"after-call.s3.{operation}", _refuse_pages)
    return client


def _follow_no_redirect(context: dict[str, Any], **_: object) -> None:
    """As if botocore had gone to another region already, which it does without end elsewhere."""
    context.setdefault("s3_redirect", {})["redirected"] = True


def _refuse_pages(http_response: Any, **_: object) -> None:
    """A proxy's page in place of an archive, as during maintenance, would be a damaged one."""
    headers = http_response.headers
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_ours = content_type in _TYPES_OF_ARCHIVES and "ETag" in headers
    if http_response.status_code < 300 and not (is_ours and "Content-Length" in headers):
        raise StorageTrouble(ERRNO, MISUNDERSTOOD)


@contextmanager
def explained() -> Iterator[None]:
    """Raises StorageTrouble for errors of the client."""
    with _explained(), nullcontext() if find_patience() is None else turns.take():
        yield


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise StorageTrouble(ERRNO, _explain(error)) from error
    except BotoCoreError as error:
        raise StorageTrouble(ERRNO, _SILENT) from error
    except (ValueError, KeyError) as error:
        # A date that is none, or an answer that lacks what it has to have.
        raise StorageTrouble(ERRNO, MISUNDERSTOOD) from error


# Where others wait: a storage that does not answer holds an eighth of a process' threads once, and
# then one of them now and again.
turns = CircuitBreaker(
    no_answer=(BotoCoreError,),
    refuse=lambda: StorageTrouble(ERRNO, _SILENT),
    number=max(1, FOR_PAGES // 2),
    waiting=FOR_PAGES,
    wait_seconds=PAGE_SECONDS,
)


def code_of(error: ClientError) -> str:
    """``NoSuchKey``, or for an answer without a body its status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _explain(error: ClientError) -> str:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if sentence := _SENTENCES.get(code_of(error)):
        return sentence
    if status in (401, 403):
        return _REFUSED
    return _IS_BUSY if status in _BUSY else MISUNDERSTOOD
