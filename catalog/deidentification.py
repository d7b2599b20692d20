"""Whether and how DICOM files are de-identified before they leave the server."""

import os
import uuid
from typing import TYPE_CHECKING, BinaryIO, cast

from django.conf import settings
from django.utils.crypto import salted_hmac

from catalog.imaging.dicom.confidentiality import METHOD_VERSION
from catalog.imaging.problems import NotReadable
from catalog.storage.disk import WatchedFile, promise_room
from catalog.wording.formats import file_size

if TYPE_CHECKING:
    from catalog.imaging.dicom.deidentify import Pseudonyms

# It lies on the disk once more, until its client has it.
MAX_BYTES = 1 << 30


def deidentifies_on_delivery() -> bool:
    """Whether the operator wants that."""
    return bool(settings.DEIDENTIFY_ON_DELIVERY)


def describe_method() -> str:
    """All that determines the bytes of a de-identified file, besides the file."""
    return f"{METHOD_VERSION}, key {_digest('which key', '').hex()[:16]}"


def deidentify_file(file: BinaryIO, made: BinaryIO) -> None:
    """Write the DICOM file without what tells who somebody is, always with the same bytes.

    ``made`` is empty, on the disk of VAR_DIR, and left at its start.

    Raises:
        NotReadable: it cannot be de-identified, or has more than MAX_BYTES.
        OSError: it cannot be read; or, with ENOSPC, the disk has no room but its reserve.
    """
    # Only here and below, as in catalog.files.
    from catalog.imaging.dicom.deidentify import deidentify  # noqa: PLC0415
    from catalog.imaging.dicom.stream import MAX_INFLATED_BYTES  # noqa: PLC0415

    size = file.seek(0, os.SEEK_END)
    if size > MAX_BYTES:
        raise NotReadable(f"It has more than {file_size(MAX_BYTES)}.")
    with promise_room(settings.VAR_DIR, max(size, MAX_INFLATED_BYTES)):
        # Others, such as archives, may take what was promised.
        watched = cast("BinaryIO", WatchedFile(made, settings.VAR_DIR))
        deidentify(file, watched, make_pseudonyms())
        made.flush()
    made.seek(0)


def must_be_deidentified(file: BinaryIO) -> bool:
    """Whether ``file`` is DICOM and does not say that it was de-identified."""
    from catalog.imaging.dicom import deidentify  # noqa: PLC0415

    return deidentify.must_be_deidentified(file)


def make_pseudonyms() -> "Pseudonyms":
    """Those of this installation, for imports and for files that are de-identified alike."""
    from catalog.imaging.dicom.deidentify import Pseudonyms  # noqa: PLC0415

    return Pseudonyms(make_pseudonym, _make_uid)


def make_pseudonym(patient_id: str) -> str:
    """A pseudonym that is constant on one installation and depends on its PSEUDONYM_KEY."""
    return f"anon-{_digest('catalog.dicom-subject', patient_id).hex()[:16]}"


def _make_uid(original: str) -> str:
    """A UID made of a UUID (PS3.5 B.2) of version 8, whose bits are its maker's (RFC 9562)."""
    bits = bytearray(_digest("catalog.dicom-uid", original)[:16])
    bits[6], bits[8] = bits[6] & 0x0F | 0x80, bits[8] & 0x3F | 0x80
    return f"2.25.{uuid.UUID(bytes=bytes(bits)).int}"


def _digest(purpose: str, value: str) -> bytes:
    """An HMAC by the installation's key."""
    key = settings.PSEUDONYM_KEY
    return salted_hmac(purpose, value, secret=key, algorithm="sha256").digest()
