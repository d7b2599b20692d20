"""Collections in each state, made without builds, for tests of pages."""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.utils import timezone

from catalog.models import Image
from collections_app.builds.outcome import NO_CLAIM, keep_number_of_problems
from collections_app.models import Build, Collection, CollectionItem, Reason, Status
from collections_app.storage import archive_file
from collections_app.tests.factories import make_collection

SHA256 = hashlib.sha256(b"an archive").hexdigest()


def as_running(collection: Collection, *, share: float = 0.5, seconds: float = 60) -> Collection:
    """Make it running: claimed ``seconds`` ago by a live worker, with this share done."""
    now = timezone.now()
    return change_build(
        collection,
        attempt_token=uuid4(),
        attempts=1,
        lease_expires_at=now + timedelta(seconds=30),
        started_at=now - timedelta(seconds=seconds),
        writing_at=now - timedelta(seconds=seconds),
        progress_images=int(share * collection.num_images),
        progress_bytes=int(share * collection.num_bytes),
    )


def as_ready(collection: Collection, **values: Any) -> Collection:
    """Make it ready, with a file as its archive."""
    now = timezone.now()
    change_build(collection, finished_at=now, **NO_CLAIM)
    path = archive_file(f"{uuid4()}.zip")
    path.write_bytes(b"an archive")
    return change(
        collection,
        **{
            "status": Status.READY,
            "archive_path": path.name,
            "archive_size": 10,
            "archive_sha256": SHA256,
            "fingerprint": hashlib.sha256(str(collection.uuid).encode()).hexdigest(),
            "verified_at": now,
            "finished_at": now,
            "expires_at": now + timedelta(days=14),
            **values,
        },
    )


def as_failed(collection: Collection, *, num_bad: int = 0, **values: Any) -> Collection:
    """Make it failed, with a problem of the first ``num_bad`` items."""
    bad = collection.items.filter(position__lte=num_bad)
    bad.update(problem="the file is missing")
    reason = values.pop("reason", Reason.FILES_MISSING)
    change_build(collection, finished_at=timezone.now(), reason=reason, **NO_CLAIM)
    keep_number_of_problems(collection)
    return change(
        collection,
        **{
            "status": Status.FAILED,
            "error_message": f"{num_bad} files are not as the catalog says.",
            "finished_at": timezone.now(),
            **values,
        },
    )


def change(collection: Collection, **values: Any) -> Collection:
    Collection.objects.filter(pk=collection.pk).update(**values)
    collection.refresh_from_db()
    return collection


def change_build(collection: Collection, **values: Any) -> Collection:
    """Change its last build; return the collection."""
    Build.objects.filter(pk=collection.builds.latest("pk").pk).update(**values)
    return collection


def as_expired(collection: Collection) -> Collection:
    change_build(collection, finished_at=timezone.now())
    return change(collection, status=Status.EXPIRED)


def make_large(owner: User, number: int) -> Collection:
    """A collection of ``number`` items; only the first of its images has a file."""
    collection = make_collection("", user=owner)
    first = Image.objects.earliest("pk")
    collection.items.all().delete()
    images = Image.objects.bulk_create(
        Image(dataset=first.dataset, source_id=f"large-{n:06}", modality=first.modality)
        for n in range(1, number + 1)
    )
    CollectionItem.objects.bulk_create(
        CollectionItem(
            collection=collection,
            image=image,
            position=n,
            metadata_json={"dataset": "rays", "source_id": image.source_id},
        )
        for n, image in enumerate(images, start=1)
    )
    return change(collection, num_images=number, num_files=0, num_bytes=0)
