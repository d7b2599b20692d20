"""The archive's own SHA-256, computed after the user already has the archive."""

import hashlib

from django.utils import timezone

from collections_app.archive_files import archive_file
from collections_app.models import Collection, Status


def checksum_archive(*, collection_id: int) -> None:
    """Read a ready archive and store its SHA-256, unless it has been replaced meanwhile."""
    ready = Collection.objects.filter(pk=collection_id, status=Status.READY)
    path = ready.values_list("archive_path", flat=True).first()
    if not path:
        return
    with archive_file(path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    ready.filter(archive_path=path).update(archive_sha256=sha256, updated_at=timezone.now())
