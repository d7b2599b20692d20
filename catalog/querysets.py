"""Querysets of the catalog's models."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Count, Exists, Func, OuterRef, Q, Sum, Value
from django.db.models.functions import Coalesce

from catalog.dataset_hosts import IDC_BUCKETS
from catalog.hooks import ImageHolder, image_holders
from catalog.imaging.suffixes import NO_DICOM_SUFFIXES
from catalog.imported_keys import SAME_BYTES
from vocab.models import Kind

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


# An object without a modality is taken for a picture.
_KIND = Coalesce("modality__kind", Value(Kind.PICTURE.value))


class DatasetQuerySet(models.QuerySet):
    def active(self) -> Self:
        """What search and pages show; only curators see the others, in the admin."""
        return self.filter(is_active=True)

    def with_terms(self) -> Self:
        return self.select_related("area", "license").prefetch_related(
            "other_areas", "modalities", "task_types", "labels", "tags"
        )

    def with_relations(self) -> Self:
        return self.select_related("link_check").prefetch_related(
            "relations__other", "inverse_relations__dataset"
        )

    def with_files_of(self, slug: str, imported: Mapping[str, Any]) -> Self:
        """Other datasets that share files with this one, by the last import of either."""
        own = imported.get(SAME_BYTES, {}).get("elsewhere", {})
        theirs = {f"imported_json__{SAME_BYTES}__elsewhere__has_key": slug}
        return self.exclude(slug=slug).filter(Q(slug__in=own) | Q(**theirs))


class ImageProfileQuerySet(models.QuerySet):
    def active(self) -> Self:
        return self.filter(dataset__is_active=True, num_images__gt=0)

    def count_kinds(self) -> dict[str, int]:
        """The numbers of objects by their kinds."""
        rows = self.filter(num_images__gt=0).order_by().values_list(_KIND)
        return dict(rows.annotate(total=Sum("num_images")))


# What an address leads to may be DICOM, unless its path ends otherwise, or its query where the path
# has no ending, and its query names no DICOM file. What the IDC publishes is de-identified.
_ENDING = r"(\.(?:nii\.)?[a-z][a-z0-9]{0,7})/?(?:[?#].*)?$"
_NAMES_DICOM = r"[?#].*\.(?:dcm|dicom|ima)(?:[^a-z0-9]|$)"
_OF_IDC = f"^s3://(?:{'|'.join(IDC_BUCKETS)})/"


def may_be_dicom(address: str) -> bool:
    """Whether what lies at an address may be DICOM that no import has read."""
    found = re.search(_ENDING, address.lower(), re.DOTALL)
    is_otherwise = found is not None and found[1] in NO_DICOM_SUFFIXES
    names_dicom = re.search(_NAMES_DICOM, address.lower(), re.DOTALL) is not None
    is_of_idc = re.match(_OF_IDC, address, re.IGNORECASE) is not None
    return bool(address) and not is_of_idc and (names_dicom or not is_otherwise)


def sql_of_may_be_dicom(address: str) -> str:
    """The same in SQL, which compares endings faster than a pattern of all of them."""
    endings = ",".join(sorted(NO_DICOM_SUFFIXES))
    return f"""({address} <> '' AND {address} !~* '{_OF_IDC}'
        AND (coalesce(substring(lower({address}) from '{_ENDING}'), '') <> ALL ('{{{endings}}}')
             OR lower({address}) ~ '{_NAMES_DICOM}'))"""


class _MayBeDicom(Func):
    template = sql_of_may_be_dicom("%(expressions)s")
    output_field = models.BooleanField()


_IS_LOCAL = ~Q(file_path="")
# What is counted of DICOM files; of those the catalog knows the transfer syntax.
IDENTIFYING = {
    "files": Q(identifying__len__gt=0),
    "burned_in": ~Q(file_path="", remote_url="") & Q(metadata_json__BurnedInAnnotation="YES"),
    "unchecked": (
        _IS_LOCAL & Q(identifying__isnull=True, metadata_json__has_key="TransferSyntaxUID")
    )
    | (Q(file_path="") & Q(_MayBeDicom("remote_url"))),
}
# So many of their attributes are named in sentences, the most frequent ones.
MAX_ATTRIBUTES = 20


def first_attributes(rows: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """What is kept of (attribute, number of files) in order: the first, and if there are more."""
    more = {"more": True} if len(rows) > MAX_ATTRIBUTES else {}
    return {"attributes": dict(rows[:MAX_ATTRIBUTES]), **more}


class ImageQuerySet(models.QuerySet):
    def count_identifying(self, names: Iterable[str] = IDENTIFYING) -> dict[str, int]:
        """How many files tell who somebody is, show burnt-in text, or were not checked for it.

        Only ``names`` are counted, the others are 0.
        """
        counts = {name: Count("pk", filter=IDENTIFYING[name]) for name in names}
        return dict.fromkeys(IDENTIFYING, 0) | self.order_by().aggregate(**counts)

    def count_kinds(self) -> dict[str, int]:
        """The numbers of objects by their kinds."""
        return dict(self.order_by().values_list(_KIND).annotate(total=Count("pk")))

    def active(self) -> Self:
        """What search and pages show: not images that were removed from their source."""
        return self.filter(dataset__is_active=True, removed_at__isnull=True)

    def visible_to(self, user: "AbstractBaseUser | AnonymousUser") -> Self:
        """Active images, and those that other apps hold for this user."""
        if not user.is_authenticated:
            return self.active()
        visible = Q(dataset__is_active=True, removed_at__isnull=True)
        for holder in image_holders:
            visible |= Q(Exists(self._rows_of(holder).filter(**{holder.user: user.pk})))
        return self.filter(visible)

    def held_by(self, holder: ImageHolder) -> Self:
        return self.filter(Exists(self._rows_of(holder)))

    def _rows_of(self, holder: ImageHolder) -> models.QuerySet:
        """The holder's rows of an image; a join would read those of all users."""
        relation: Any = self.model._meta.get_field(holder.rows)
        rows: models.QuerySet = relation.related_model._default_manager
        return rows.filter(**{relation.field.name: OuterRef("pk")})

    def local(self) -> Self:
        return self.exclude(file_path="")

    def with_terms(self) -> Self:
        """With everything that an image page shows, in a fixed number of queries."""
        return self.select_related(
            "dataset__license", "modality", "area", "view", "license"
        ).prefetch_related("image_labels__label")
