"""Collections, their items and their builds.

The database checks the four states. ``collections_app.services`` and ``collections_app.builds``
decide who may change a state.
"""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.timezone import localtime

from catalog.models import Image
from collections_app.provenance_keys import EXCLUDED, KINDS
from collections_app.querysets import (
    BuildQuerySet,
    CollectionItemQuerySet,
    CollectionQuerySet,
)
from vocab.models import Kind


class Status(models.TextChoices):
    PENDING = "pending", "Pending"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"
    EXPIRED = "expired", "Expired"


HAS_ARCHIVE = (
    ~Q(archive_path="")
    & Q(archive_size__isnull=False)
    & ~Q(fingerprint="")
    & Q(finished_at__isnull=False)
    & Q(expires_at__isnull=False)
)
MAX_TITLE = 120
MAX_PROBLEM = 300
IS_HEX = r"^[0-9a-f]{64}$"


class Collection(models.Model):
    """A custom dataset that a user built: a query, the images it found, and their archive.

    ``provenance`` has the datasets, licences and filters in words as they were at the freeze, under
    the keys of ``collections_app.provenance_keys``.
    ``archive_path`` is relative to ``ARCHIVE_ROOT`` or ``ARCHIVE_STORAGE``; sizes are in bytes.
    ``archive_sha256`` is empty until the archive was verified for the first time, which happens
    after ``ready``. ``verified_at`` is empty until then, and is emptied again when the archive must
    be verified once more. ``items_sha256`` covers all frozen items. ``builds`` has the builds of
    the archive.
    """

    uuid = models.UUIDField("UUID", default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="collections", db_index=False
    )
    title = models.CharField(max_length=MAX_TITLE)
    slug = models.CharField(max_length=80, help_text="The folder inside the archive.")
    query_text = models.CharField(max_length=500, blank=True)
    filter_snapshot = models.JSONField(default=dict, blank=True)
    options = models.JSONField(default=dict, blank=True)
    provenance = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=7, choices=Status, default=Status.PENDING)
    num_images = models.PositiveIntegerField(default=0)
    num_files = models.PositiveIntegerField(
        default=0, help_text="Images with a local file; the others are listed in remote.csv."
    )
    num_bytes = models.PositiveBigIntegerField(default=0)
    items_sha256 = models.CharField("SHA-256 of the frozen items", max_length=64, blank=True)
    error_message = models.TextField(blank=True)

    archive_path = models.CharField(max_length=255, blank=True)
    archive_size = models.PositiveBigIntegerField(null=True, blank=True)
    archive_sha256 = models.CharField("archive SHA-256", max_length=64, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    program = models.CharField(max_length=200, blank=True, db_default="")
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    wants_mail = models.BooleanField(default=False)
    mail_is_due = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    images = models.ManyToManyField(Image, through="CollectionItem", related_name="collections")

    objects = CollectionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(F("user"), F("created_at").desc(), name="collection_by_user"),
            models.Index(fields=["status", "expires_at"], name="collection_by_state"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=Status.values), name="status_is_known"),
            models.CheckConstraint(
                condition=(Q(status=Status.READY) & HAS_ARCHIVE)
                | (~Q(status=Status.READY) & Q(archive_path="", archive_size__isnull=True)),
                name="ready_collection_has_archive",
            ),
            models.CheckConstraint(
                condition=(Q(status=Status.FAILED) & ~Q(error_message=""))
                | (~Q(status=Status.FAILED) & Q(error_message="")),
                name="failed_collection_says_why",
            ),
            models.CheckConstraint(
                condition=Q(verified_at__isnull=True)
                | (Q(status=Status.READY) & ~Q(archive_sha256="")),
                name="a_verified_archive_has_a_sha256",
            ),
            models.UniqueConstraint(
                fields=["archive_path"],
                condition=~Q(archive_path=""),
                name="an_archive_belongs_to_one_collection",
            ),
            models.CheckConstraint(
                condition=Q(items_sha256="") | Q(items_sha256__regex=IS_HEX),
                name="items_sha256_is_hex",
            ),
            models.CheckConstraint(
                condition=Q(archive_sha256="") | Q(archive_sha256__regex=IS_HEX),
                name="archive_sha256_is_hex",
            ),
            models.CheckConstraint(
                condition=Q(fingerprint="") | Q(fingerprint__regex=IS_HEX),
                name="fingerprint_is_hex",
            ),
            models.CheckConstraint(
                condition=~Q(title="") & Q(slug__regex=r"^[a-z0-9_]+(-+[a-z0-9_]+)*$"),
                name="collection_has_a_title_and_a_folder",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("collection-detail", args=[self.uuid])

    @property
    def kinds(self) -> dict[str, int]:
        """The numbers of its images by kind; all are images if it was frozen without kinds."""
        kinds: dict[str, int] = self.provenance.get(KINDS) or {Kind.PICTURE: self.num_images}
        return kinds

    @property
    def num_excluded(self) -> int:
        """Items that are not in the archive, because their files were bad."""
        return self.provenance.get(EXCLUDED, 0)

    @property
    def num_items(self) -> int:
        """Images in the archive and excluded ones together."""
        return self.num_images + self.num_excluded

    @property
    def last_build(self) -> "Build | None":
        """The unfinished build, or else the one that ended last."""
        return self.builds.first()


class Reason(models.TextChoices):
    """Why a build failed, as a code; people read the collection's ``error_message``."""

    FILES_MISSING = "files_missing", "files are missing"
    FILES_CHANGED = "files_changed", "files have changed"
    SOURCE_UNREACHABLE = "source_unreachable", "the source did not answer"
    CATALOG_CHANGED = "catalog_changed", "the catalog has lost images"
    DAY_IS_FULL = "day_is_full", "the day's limit of fetching is used up"
    OVER_QUOTA = "over_quota", "the owner's quota of archives is used up"
    DISK_FULL = "disk_full", "the disk is full"
    WRITE_ERROR = "write_error", "the archive could not be written"
    TOO_SLOW = "too_slow", "the build took too long"
    INTERRUPTED = "interrupted", "the worker stopped too often"
    CANCELLED = "cancelled", "cancelled by the owner"
    CANCELLED_BY_OPERATOR = "cancelled_by_operator", "cancelled by the operator"
    ARCHIVE_DAMAGED = "archive_damaged", "the finished archive was lost or damaged"
    UNKNOWN = "unknown", "not known"


class Build(models.Model):
    """One order to build a collection's archive, and its result.

    A collection is pending exactly as long as it has an unfinished build; it has at most one.
    Builds are queued by ``queued_at``. ``notified_at`` is when a worker was last notified of it.
    ``attempt_token`` and ``lease_expires_at`` belong to the worker that has claimed it, as do
    ``started_at`` and ``writing_at``, when it began and when it had fetched and checked.
    ``replaces`` has the columns of the ready archive that a rebuild is to replace, until all files
    were found to be as they were frozen; a build that ends before that gives it back. From then on
    it has the archive's size only, which counts for the owner's quota.

    ``num_problems`` is the number of items with a problem that are not excluded: while it fetches
    those that cannot be had so far, and of a failed build all, as counting them for each page would
    take PostgreSQL a fifth of a second for 160,000.

    ``images_to_fetch`` and ``bytes_to_fetch`` are what lies elsewhere and is not in the cache yet;
    ``bytes_fetched`` are the last attempt's, and count for the owner's limit of a day, as does
    ``bytes_rounded_up``: what files of less than a block of the disk count beyond their bytes, and
    what came in vain.
    """

    collection = models.ForeignKey(Collection, models.CASCADE, related_name="builds")
    queued_at = models.DateTimeField()
    notified_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    attempt_token = models.UUIDField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    progress_images = models.PositiveIntegerField(default=0)
    progress_bytes = models.PositiveBigIntegerField(default=0)
    images_to_fetch = models.PositiveIntegerField(default=0)
    images_fetched = models.PositiveIntegerField(default=0)
    bytes_to_fetch = models.PositiveBigIntegerField(default=0)
    bytes_fetched = models.PositiveBigIntegerField(default=0)
    bytes_rounded_up = models.PositiveBigIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    writing_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=24, choices=Reason, blank=True)
    num_problems = models.PositiveIntegerField(default=0, db_default=0)
    replaces = models.JSONField(default=dict, blank=True)

    objects = BuildQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["queued_at"], condition=Q(finished_at__isnull=True), name="build_queue"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["collection"],
                condition=Q(finished_at__isnull=True),
                name="one_unfinished_build_for_a_collection",
            ),
            models.CheckConstraint(
                condition=Q(attempt_token__isnull=True, lease_expires_at__isnull=True)
                | Q(
                    finished_at__isnull=True,
                    attempt_token__isnull=False,
                    lease_expires_at__isnull=False,
                ),
                name="only_an_unfinished_build_is_leased",
            ),
            models.CheckConstraint(
                condition=Q(reason="") | Q(reason__in=Reason.values, finished_at__isnull=False),
                name="a_failed_build_is_finished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.collection}, queued {localtime(self.queued_at):%Y-%m-%d %H:%M}"

    @property
    def keeps_archive(self) -> bool:
        """Whether the archive that it is to replace is still kept."""
        return "archive_path" in self.replaces


class DeletedFetch(models.Model):
    """What was fetched and no build says: for a day it counts for its owner's limit.

    A deleted collection's, that of an earlier attempt, or what came while a build was cancelled.
    ``queued_at`` is the latest time at which it can have been fetched.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="deleted_fetches"
    )
    queued_at = models.DateTimeField()
    num_bytes = models.PositiveBigIntegerField()

    class Meta:
        verbose_name_plural = "deleted fetches"

    def __str__(self) -> str:
        return f"{self.num_bytes:,} bytes, {localtime(self.queued_at):%Y-%m-%d %H:%M}"


class CollectionItem(models.Model):
    """One image of a collection, with everything that the archive says about it, frozen.

    An image in a collection cannot be deleted from the catalog. ``file_name`` is the path in the
    archive below the slug, and empty if there is no file on this server. ``problem`` is what the
    last build or verification found wrong with its file. An item with ``is_excluded`` is not in
    the archive and is listed in missing.csv.

    ``file_name`` of an image that lies elsewhere and is to be fetched is set by the freeze; of a
    series it is a folder. Its ``sha256`` is learnt when it is fetched for the first time, and every
    later build must meet it; ``catalog.storage.series`` says what that of a series is.
    """

    collection = models.ForeignKey(Collection, models.CASCADE, related_name="items", db_index=False)
    image = models.ForeignKey(
        Image, models.PROTECT, related_name="collection_items", db_index=False
    )
    position = models.PositiveIntegerField()
    size_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    sha256 = models.CharField("SHA-256", max_length=64, blank=True)
    file_name = models.CharField(max_length=255, blank=True)
    metadata_json = models.JSONField("frozen metadata", default=dict, blank=True)
    problem = models.CharField(max_length=MAX_PROBLEM, blank=True)
    is_excluded = models.BooleanField(default=False)

    objects = CollectionItemQuerySet.as_manager()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["collection", "position"], name="items_have_an_order"),
            # The image comes first, so that this index also answers "who holds this image?".
            models.UniqueConstraint(
                fields=["image", "collection"], name="collection_holds_an_image_once"
            ),
            models.CheckConstraint(
                condition=Q(is_excluded=False) | ~Q(problem=""), name="excluded_item_says_why"
            ),
            models.CheckConstraint(
                # The format of the hash is checked in Image. A pattern check for each item would
                # be a third of the time of a freeze.
                condition=Q(sha256="") | Q(size_bytes__isnull=False),
                name="item_with_a_file_has_a_size",
            ),
        ]
        indexes = [
            models.Index(
                fields=["collection", "is_excluded", "position"],
                condition=~Q(problem=""),
                name="item_with_a_problem",
            )
        ]

    def __str__(self) -> str:
        return f"{self.collection} #{self.position}"
