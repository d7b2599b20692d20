"""Datasets, their images, and the profiles that make counting images cheap.

The entities and fields are described in docs/db-schema.md.
"""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchVectorField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Func, Q
from django.urls import reverse

from catalog.dataset_hosts import Host, find_host
from catalog.imaging.paths import UnsafePath, check_relative_path
from catalog.imported_keys import IDC_RELEASE, IDENTIFYING
from catalog.limits import (
    FIRST_YEAR,
    LAST_YEAR,
    MAX_AGE_YEARS,
    MAX_FILE_PATH,
    MAX_SLUG,
    MAX_SOURCE_ID,
    MAX_STORAGE,
    MAX_SUBJECT_ID,
    MAX_TITLE,
    MAX_URL,
)
from catalog.querysets import (
    DatasetQuerySet,
    ImageProfileQuerySet,
    ImageQuerySet,
    may_be_dicom,
)
from vocab.models import AnatomicalArea, Label, License, Modality, Tag, TaskType, ViewPosition

SHA256_PATTERN = r"^[0-9a-f]{64}$"


class Sex(models.TextChoices):
    """The codes of DICOM's Patient's Sex (0010,0040); empty if unknown."""

    FEMALE = "F", "Female"
    MALE = "M", "Male"
    OTHER = "O", "Other"


class Finding(models.TextChoices):
    """What the source says about a label; filters count only positive ones."""

    POSITIVE = "positive", "Positive"
    UNCERTAIN = "uncertain", "Uncertain"
    NEGATIVE = "negative", "Negative"


class Availability(models.TextChoices):
    """Where the bytes of an image are."""

    HERE = "here", "On this server"
    ELSEWHERE = "elsewhere", "Elsewhere, with an address"
    LISTED = "listed", "Listed only"

    @property
    def short_label(self) -> str:
        """The label without its explanation, for cards."""
        return str(self.label).partition(",")[0]

    @property
    def in_words(self) -> str:
        """The label within a sentence."""
        return str(self.label).replace(",", "").lower()


class SampleUnit(models.TextChoices):
    """What the number of a dataset without listed images counts; empty if it is not stated."""

    IMAGE = "image", "images"
    VOLUME = "volume", "volumes"
    SERIES = "series", "series"
    STUDY = "study", "studies"
    PATIENT = "patient", "patients"
    SLIDE = "slide", "slides"
    VIDEO = "video", "videos"
    FRAME = "frame", "frames"
    PATCH = "patch", "patches"


class Access(models.TextChoices):
    """How one gets at the files of a dataset; empty if it is not stated."""

    OPEN = "open", "Open"
    REGISTRATION = "registration", "After registration"
    APPLICATION = "application", "After an application"


class Dimension(models.TextChoices):
    """What the images of a dataset are made of."""

    FLAT = "2d", "2D"
    VOLUME = "3d", "3D"
    MOVING = "4d", "4D"
    VIDEO = "video", "Video"


class Survey(models.TextChoices):
    """Published surveys from which facts of datasets were taken."""

    IMAGING_X = "imaging-x", "Project Imaging-X"


class RelationKind(models.TextChoices):
    """How one dataset is related to another one, in the words of the first."""

    PART_OF = "part_of", "Part of"
    NEWER_VERSION_OF = "newer_version_of", "Newer version of"
    TAKES_IMAGES_FROM = "takes_images_from", "Takes images from"

    @property
    def inverse(self) -> str:
        """The same in the words of the other dataset."""
        return {
            RelationKind.PART_OF: "Has the part",
            RelationKind.NEWER_VERSION_OF: "Has the newer version",
            RelationKind.TAKES_IMAGES_FROM: "Its images are also in",
        }[self]


class Dataset(models.Model):
    """A source dataset, as its owner published it."""

    slug = models.SlugField(
        max_length=MAX_SLUG, unique=True, help_text="Stands in URLs and archives."
    )
    title = models.CharField(max_length=MAX_TITLE)
    description = models.TextField(blank=True)
    source_url = models.URLField(max_length=500, blank=True, verbose_name="source URL")
    area = models.ForeignKey(
        AnatomicalArea,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="datasets",
        verbose_name="anatomical area",
    )
    other_areas = models.ManyToManyField(
        AnatomicalArea,
        blank=True,
        related_name="further_datasets",
        help_text="What it shows besides its area. Images have the area unless they say another.",
    )
    modalities = models.ManyToManyField(Modality, blank=True, related_name="datasets")
    task_types = models.ManyToManyField(TaskType, blank=True, related_name="datasets")
    tags = models.ManyToManyField(Tag, blank=True, related_name="datasets")
    labels = models.ManyToManyField(
        Label,
        blank=True,
        related_name="datasets",
        help_text="Diseases and findings that it is about, as published; images have their own.",
    )
    year = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(FIRST_YEAR), MaxValueValidator(LAST_YEAR)],
        help_text="Of its first publication.",
    )
    dimensions = ArrayField(
        models.CharField(max_length=5, choices=Dimension),
        default=list,
        blank=True,
        help_text="Of 2d, 3d, 4d and video, separated by commas.",
    )
    access = models.CharField(max_length=12, blank=True, choices=Access)
    has_labels = models.BooleanField(
        null=True, blank=True, help_text="Whether labels or annotations are published."
    )
    license = models.ForeignKey(
        License, models.PROTECT, null=True, blank=True, related_name="datasets"
    )
    citation = models.TextField(blank=True)
    doi = models.CharField(
        "DOI",
        max_length=200,
        blank=True,
        validators=[RegexValidator(r"^10\.\d{4,9}/\S+$", "A DOI looks like 10.1234/abc.")],
    )
    num_images = models.PositiveIntegerField(
        default=0, help_text="As published or, once images are loaded, as counted."
    )
    is_num_rounded = models.BooleanField(
        "number is rounded", default=False, help_text="As in “2.7k”."
    )
    sample_unit = models.CharField(
        max_length=10,
        blank=True,
        choices=SampleUnit,
        help_text="What the published number counts. Loaded images are files or series.",
    )
    size_mb = models.PositiveIntegerField(
        "size in MB", null=True, blank=True, help_text="Megabytes of 1,000,000 bytes."
    )
    local_path = models.CharField(
        max_length=500, blank=True, help_text="The folder of the local copy, if there is one."
    )
    storage = models.CharField(
        max_length=MAX_STORAGE,
        blank=True,
        help_text="Where the files are that are not here: s3://bucket/prefix or "
        "https://host/prefix. When it is changed, addresses of images follow; images that are "
        "listed without one get theirs with the next import.",
    )
    parts = ArrayField(
        models.CharField(max_length=MAX_TITLE),
        default=list,
        blank=True,
        help_text="Subsets, tasks and years that are published as one, separated by commas.",
    )
    survey = models.CharField(
        max_length=12, blank=True, choices=Survey, help_text="From which facts were taken."
    )
    is_synthetic = models.BooleanField(
        default=False, help_text="Generated images, which show no patient."
    )
    is_featured = models.BooleanField(
        "widely used",
        default=False,
        help_text="Known to all of its field: shown before others that meet a search as well.",
    )
    is_active = models.BooleanField(default=True, help_text="Whether it is visible in search.")
    search_vector = SearchVectorField(null=True, editable=False)
    # What an import last wrote. A field that now differs from it was changed by a curator. Beside
    # the fields it has those of ``catalog.imported_keys``.
    imported_json = models.JSONField(default=dict, editable=False)
    # Set by a trigger with every change of the row or its terms: see catalog.search.snapshot.
    version = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["title"]
        indexes = [
            GinIndex(fields=["search_vector"], name="dataset_search_vector"),
            GinIndex(OpClass(F("title"), name="gin_trgm_ops"), name="dataset_title_trigrams"),
            # Every page asks for the sum of versions: the rows themselves are large.
            models.Index(fields=["version"], name="dataset_version"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(title=""), name="dataset_has_a_title"),
            models.CheckConstraint(
                condition=Q(storage="") | Q(storage__regex=r"^(s3|https)://[^/]+"),
                name="dataset_storage_is_known",
            ),
            models.CheckConstraint(
                condition=Q(access__in=["", *Access.values]), name="dataset_access_is_known"
            ),
            models.CheckConstraint(
                condition=Q(dimensions__contained_by=Dimension.values),
                name="dataset_dimensions_are_known",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("dataset-detail", args=[self.slug])

    @property
    def identifying(self) -> dict[str, Any]:
        """Of how many files the last import found that they tell who somebody is.

        The most frequent attributes come first, an order that JSON in the database loses.
        """
        counts: dict[str, Any] = dict(self.imported_json.get(IDENTIFYING, {}))
        if found := counts.get("attributes"):
            counts["attributes"] = dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))
        return counts

    @property
    def idc_release(self) -> str:
        """The data release of the Imaging Data Commons that addresses of its images are of."""
        return str(self.imported_json.get(IDC_RELEASE, ""))

    @property
    def host(self) -> Host:
        """Who hosts its page."""
        return find_host(self.source_url)


class DatasetRelation(models.Model):
    """One dataset is part of, a newer version of, or takes images from another one."""

    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="relations")
    kind = models.CharField(max_length=17, choices=RelationKind)
    other = models.ForeignKey(Dataset, models.CASCADE, related_name="inverse_relations")
    source = models.CharField(
        max_length=500, help_text="The paper or the publisher's page that says so."
    )

    class Meta:
        ordering = ["kind", "other__title"]
        constraints = [
            models.UniqueConstraint(
                fields=["dataset", "kind", "other"], name="relation_is_stated_once"
            ),
            models.CheckConstraint(condition=~Q(dataset=F("other")), name="relation_is_to_another"),
            models.CheckConstraint(
                condition=Q(kind__in=RelationKind.values), name="relation_kind_is_known"
            ),
            models.CheckConstraint(condition=~Q(source=""), name="relation_has_a_source"),
        ]

    def __str__(self) -> str:
        return f"{self.dataset} – {self.get_kind_display().lower()} – {self.other}"


class LinkCheck(models.Model):
    """What a dataset's address answered when `check_links` last asked it.

    It is kept apart from the dataset, so that a check is no change of the catalog.
    """

    dataset = models.OneToOneField(Dataset, models.CASCADE, related_name="link_check")
    url = models.URLField(max_length=500, help_text="The address that was asked.")
    checked_at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True, help_text="When the address last answered well.")
    problem = models.CharField(max_length=200, blank=True, help_text="Empty if it answered well.")

    def __str__(self) -> str:
        return f"{self.url}: {self.problem or 'answers'}"


class ImageProfile(models.Model):
    """One distinct combination of the values that images are filtered by, with its image count.

    Facet counts are sums over this small table, so their cost does not grow with the number of
    images. ``age_band`` is the first year of a ten-year band; None if the age is unknown.
    ``ages`` are the completed ages within it as in ``catalog.ages``, ascending; ``age_images`` and
    ``age_bytes`` are the images and bytes of each.
    ``label_ids`` are the positive labels, ascending. ``license`` is that of the images; None if
    it is the dataset's. Only ``catalog.profiles.building`` writes it.
    """

    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="profiles", db_index=False)
    area = models.ForeignKey(AnatomicalArea, models.PROTECT, null=True, related_name="profiles")
    modality = models.ForeignKey(Modality, models.PROTECT, null=True, related_name="profiles")
    label_ids = ArrayField(models.BigIntegerField(), default=list)
    sex = models.CharField(max_length=1, blank=True, choices=Sex)
    age_band = models.PositiveSmallIntegerField(null=True)
    availability = models.CharField(max_length=9, choices=Availability)
    license = models.ForeignKey(License, models.PROTECT, null=True, related_name="profiles")
    view = models.ForeignKey(ViewPosition, models.PROTECT, null=True, related_name="profiles")
    num_images = models.PositiveIntegerField(default=0)
    num_bytes = models.PositiveBigIntegerField(default=0)
    ages = ArrayField(models.SmallIntegerField(), default=list)
    age_images = ArrayField(models.IntegerField(), default=list)
    age_bytes = ArrayField(models.BigIntegerField(), default=list)

    objects = ImageProfileQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "dataset",
                    "area",
                    "modality",
                    "label_ids",
                    "sex",
                    "age_band",
                    "availability",
                    "license",
                    "view",
                ],
                nulls_distinct=False,
                name="profile_is_one_combination",
            ),
            models.CheckConstraint(
                condition=Q(sex__in=["", *Sex.values]), name="profile_sex_is_known"
            ),
            models.CheckConstraint(
                condition=Q(availability__in=Availability.values),
                name="profile_availability_is_known",
            ),
        ]
        indexes = [GinIndex(fields=["label_ids"], name="profile_labels")]

    def __str__(self) -> str:
        return f"profile {self.pk}: {self.num_images} images"


class ProfileText(models.Model):
    """The words of the own texts of images, and how many images of a profile have these texts.

    With it, images are found and counted by words without reading them. Only
    ``catalog.profiles.building`` writes it, together with the profiles, so no key is checked.
    """

    profile = models.ForeignKey(
        ImageProfile, models.CASCADE, related_name="texts", db_constraint=False
    )
    text_key = models.BigIntegerField()
    num_images = models.PositiveIntegerField()
    words = SearchVectorField()

    class Meta:
        indexes = [GinIndex(fields=["words"], name="profile_text_words")]

    def __str__(self) -> str:
        return f"{self.num_images} images with text {self.text_key}"


class TextKey(Func):
    """The key of the own texts in an image's metadata; NULL if there are none."""

    function = "catalog_text_key"
    arity = 1


def _require_object(metadata: object, example: str) -> None:
    if not isinstance(metadata, dict):
        raise ValidationError({"metadata_json": f"Give a JSON object: {example}."})


class Image(models.Model):
    """One image of a dataset: a file, or a series of files such as the slices of a CT.

    Of several files here each has an ``ImageFile``; ``file_path`` is then the one in the middle,
    ``size_bytes`` of all together, ``sha256`` that of ``catalog.storage.series``, ``crc32`` of the
    same lines, and ``mtime_ns`` of the newest.
    """

    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="images", db_index=False)
    source_id = models.CharField(
        max_length=MAX_SOURCE_ID, help_text="Its id within the source dataset."
    )
    file_path = models.CharField(
        max_length=MAX_FILE_PATH, blank=True, help_text="Relative to the dataset's local path."
    )
    num_files = models.PositiveIntegerField(
        "number of files", default=1, help_text="Of a series; elsewhere as its source says."
    )
    remote_url = models.CharField(
        max_length=MAX_URL, blank=True, help_text="Where it can be fetched when it is not here."
    )
    # Terms are found through profiles; an index here would only make imports slower.
    modality = models.ForeignKey(
        Modality, models.PROTECT, null=True, blank=True, related_name="images", db_index=False
    )
    area = models.ForeignKey(
        AnatomicalArea,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="images",
        db_index=False,
        help_text="Only where it differs from the dataset's area.",
    )
    license = models.ForeignKey(
        License,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="images",
        db_index=False,
        help_text="Only where the source states one for the image itself.",
    )
    view = models.ForeignKey(
        ViewPosition,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="images",
        db_index=False,
        verbose_name="view position",
    )
    subject_id = models.CharField(max_length=MAX_SUBJECT_ID, blank=True)
    sex = models.CharField(max_length=1, blank=True, choices=Sex)
    age_years = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(MAX_AGE_YEARS)],
    )
    width = models.PositiveIntegerField(null=True, blank=True, help_text="pixels")
    height = models.PositiveIntegerField(null=True, blank=True, help_text="pixels")
    size_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    sha256 = models.CharField("SHA-256", max_length=64, blank=True)
    crc32 = models.PositiveBigIntegerField("CRC-32", null=True, blank=True)
    mtime_ns = models.BigIntegerField("modified (ns since 1970)", null=True, blank=True)
    identifying = ArrayField(
        models.TextField(),
        null=True,
        blank=True,
        editable=False,
        help_text="DICOM attributes that tell who somebody is; unknown if the file was not read "
        "for them.",
    )
    metadata_json = models.JSONField("metadata", default=dict, blank=True)
    text_key = models.GeneratedField(
        expression=TextKey("metadata_json"),
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )
    removed_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When an import no longer found it at its source; kept for collections only.",
    )
    label_set = models.ManyToManyField(Label, through="ImageLabel", related_name="images")
    profile = models.ForeignKey(
        ImageProfile,
        models.RESTRICT,
        null=True,
        editable=False,
        related_name="images",
        db_index=False,
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ImageQuerySet.as_manager()

    class Meta:
        ordering = ["profile_id", "id"]
        constraints = [
            # The operator class lets the same index find ids by their first characters.
            models.UniqueConstraint(
                fields=["dataset", "source_id"],
                opclasses=["int8_ops", "varchar_pattern_ops"],
                name="image_is_known_once",
            ),
            models.CheckConstraint(condition=~Q(source_id=""), name="image_has_a_source_id"),
            models.CheckConstraint(
                condition=Q(age_years__isnull=True) | Q(age_years__range=(0, MAX_AGE_YEARS)),
                name="image_age_is_human",
            ),
            models.CheckConstraint(
                condition=Q(sha256="") | Q(sha256__regex=SHA256_PATTERN),
                name="image_sha256_is_hex",
            ),
            models.CheckConstraint(
                condition=Q(crc32__isnull=True) | Q(crc32__lt=2**32), name="image_crc32_fits"
            ),
            models.CheckConstraint(
                condition=Q(file_path="", sha256="", crc32__isnull=True, mtime_ns__isnull=True)
                | (
                    ~Q(file_path="")
                    & ~Q(sha256="")
                    & Q(size_bytes__isnull=False, crc32__isnull=False, mtime_ns__isnull=False)
                ),
                name="exactly_local_images_are_hashed",
            ),
            models.CheckConstraint(
                condition=Q(sex__in=["", *Sex.values]), name="image_sex_is_known"
            ),
            models.CheckConstraint(
                condition=Q(removed_at__isnull=True) | Q(profile__isnull=True),
                name="removed_image_counts_nowhere",
            ),
            models.CheckConstraint(
                condition=~Q(file_path__startswith="/") & ~Q(file_path__regex=r"(^|/)\.\.(/|$)"),
                name="image_path_stays_inside",
            ),
        ]
        indexes = [
            models.Index(F("profile"), F("id"), name="image_by_profile"),
            models.Index(
                fields=["dataset", "subject_id"],
                condition=~Q(subject_id=""),
                name="image_by_subject",
            ),
        ]

    def __str__(self) -> str:
        return self.source_id

    def get_absolute_url(self) -> str:
        return reverse("image-detail", args=[self.pk])

    def clean(self) -> None:
        _require_object(self.metadata_json, '{"KVP": 120}')
        if self.file_path:
            try:
                check_relative_path(self.file_path)
            except UnsafePath as error:
                raise ValidationError({"file_path": str(error)}) from error

    @property
    def is_local(self) -> bool:
        return bool(self.file_path)

    @property
    def is_unchecked_elsewhere(self) -> bool:
        """Whether it may be DICOM that no import has read for what tells who somebody is."""
        return not self.file_path and may_be_dicom(self.remote_url)

    @property
    def availability(self) -> Availability:
        if self.file_path:
            return Availability.HERE
        return Availability.ELSEWHERE if self.remote_url else Availability.LISTED


class ImageFile(models.Model):
    """A file of an image that has several on this server, such as a slice of a series.

    ``number`` orders them, from 0: slices by their place along the normal of their planes.
    ``name`` is safe, and stands for the file in archives and in the image's SHA-256. Only imports
    write it, together with the image.
    """

    image = models.ForeignKey(Image, models.CASCADE, related_name="files", db_index=False)
    number = models.PositiveIntegerField()
    path = models.CharField(
        max_length=MAX_FILE_PATH, help_text="Relative to the dataset's local path."
    )
    name = models.CharField(max_length=255)
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField("SHA-256", max_length=64)
    crc32 = models.PositiveBigIntegerField("CRC-32")
    mtime_ns = models.BigIntegerField("modified (ns since 1970)")

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["image", "number"], name="files_have_an_order"),
            models.CheckConstraint(
                condition=Q(sha256__regex=SHA256_PATTERN), name="file_sha256_is_hex"
            ),
            models.CheckConstraint(
                condition=~Q(path__startswith="/") & ~Q(path__regex=r"(^|/)\.\.(/|$)"),
                name="file_path_stays_inside",
            ),
        ]

    def __str__(self) -> str:
        return self.path


class RemoteFile(models.Model):
    """What was learnt of a file that lies elsewhere when it was first fetched.

    ``address`` is that of an image, and ``name`` the file's below it where the image is a series.
    What lies at an address of the IDC never changes. Of other places a collection that is new asks
    the source: what has another ``tag`` since is fetched again, and is kept beside this, as another
    ``item_sha256``. Every later build of a collection must meet what was frozen with its items.
    """

    address = models.CharField(max_length=MAX_URL)
    item_sha256 = models.CharField(
        "SHA-256 of the item",
        max_length=64,
        help_text="Of all that was at the address together, as items have it.",
    )
    name = models.CharField(max_length=255)
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField("SHA-256", max_length=64)
    crc32 = models.PositiveBigIntegerField("CRC-32")
    suffix = models.CharField(
        max_length=8,
        blank=True,
        help_text="What its name gets in archives, where it has no ending.",
    )
    tag = models.CharField(
        max_length=200, blank=True, help_text="By which the source tells its states apart (ETag)."
    )
    fetched_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["address", "item_sha256", "name"], name="a_remote_file_is_known_once"
            ),
            models.CheckConstraint(
                condition=Q(sha256__regex=SHA256_PATTERN), name="remote_sha256_is_hex"
            ),
            models.CheckConstraint(condition=Q(crc32__lt=2**32), name="remote_crc32_fits"),
        ]

    def __str__(self) -> str:
        return f"{self.address} {self.name}"


class ImageLabel(models.Model):
    """A label of an image, as its source states it: positive, uncertain or negative."""

    image = models.ForeignKey(Image, models.CASCADE, related_name="image_labels", db_index=False)
    label = models.ForeignKey(Label, models.PROTECT, related_name="image_labels", db_index=False)
    finding = models.CharField(max_length=9, choices=Finding, default=Finding.POSITIVE)
    confidence = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Between 0 and 1, where the source gives one.",
    )
    metadata_json = models.JSONField("metadata", default=dict, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["image", "label"], name="image_has_a_label_once"),
            models.CheckConstraint(
                condition=Q(confidence__isnull=True) | Q(confidence__range=(0, 1)),
                name="confidence_is_a_share",
            ),
            models.CheckConstraint(
                condition=Q(finding__in=Finding.values), name="finding_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.get_finding_display().lower()})"

    def clean(self) -> None:
        _require_object(self.metadata_json, '{"words": ["nodules"]}')

    @property
    def source_words(self) -> str:
        """The source's own words, where they are not just the label's name."""
        words = self.metadata_json.get("words") or self.metadata_json.get("word")
        words = words if isinstance(words, list) else [words]  # a curator may write anything
        return ", ".join(f"“{word}”" for word in words if word)
