"""Edits by curators: each change is written together with the data derived from it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

from django.db import IntegrityError, connection, transaction

from catalog.bulk.foreign_keys import check_foreign_keys
from catalog.hooks import image_holders
from catalog.models import (
    Dataset,
    DatasetRelation,
    Image,
    ImageLabel,
    ImageProfile,
    ProfileText,
    RelationKind,
)
from catalog.profiles.building import (
    lock_datasets,
    rebuild_profiles,
    refresh_image_profiles,
    touch_datasets,
)
from catalog.querysets import DatasetQuerySet
from catalog.search.full_text import refresh_search_vectors
from catalog.storage.addresses import find_stored_path, join_storage

_BATCH = 10_000
_SET_ADDRESSES = """
    UPDATE catalog_image image SET remote_url = given.address
      FROM unnest(%s::bigint[], %s::text[]) given (id, address) WHERE image.id = given.id
"""

WITHOUT_CIRCLES = frozenset({RelationKind.PART_OF, RelationKind.NEWER_VERSION_OF})


class StillInUse(Exception):
    """Images to be deleted are still held; the message says by what, and what to do instead."""


class RelationCircle(Exception):
    """Datasets would be parts, or newer versions, of each other; the message says which."""


def claim_dataset(*, dataset: Dataset) -> None:
    """Wait for an import of this dataset. Call it before the dataset or its images are written.

    An import takes this lock before it locks any row. A writer that locked rows first could
    deadlock with it.
    """
    with connection.cursor() as cursor:
        lock_datasets(cursor, [dataset.pk])


def refresh_dataset(*, dataset: Dataset, area_changed: bool) -> None:
    """Update search vector, profiles and version after a dataset or its terms were saved."""
    refresh_search_vectors(dataset_ids=[dataset.pk])
    if area_changed:
        rebuild_profiles(dataset_ids=[dataset.pk])
    else:
        with connection.cursor() as cursor:
            touch_datasets(cursor, [dataset.pk])


def read_relations() -> dict[str, dict[str, set[str]]]:
    """The relations that there are: by kind, from a dataset to others, all by slug."""
    relations: dict[str, dict[str, set[str]]] = {kind: {} for kind in RelationKind.values}
    rows = DatasetRelation.objects.values_list("kind", "dataset__slug", "other__slug")
    for kind, dataset, other in rows:
        relations[kind].setdefault(dataset, set()).add(other)
    return relations


def refuse_circle(
    *, kind: str, dataset: str, other: str, relations: Mapping[str, Mapping[str, Collection[str]]]
) -> None:
    """Raises RelationCircle if one relation more makes a dataset a part of itself in the end.

    The same holds of newer versions; images may be taken from each other. All by slug.
    """
    if kind not in WITHOUT_CIRCLES:
        return
    ways = [[other]]
    seen = {other}
    for way in ways:  # it grows
        if way[-1] == dataset:
            of = RelationKind(kind).label.lower()
            steps = f", which is {of} ".join(way)
            raise RelationCircle(f"This is a circle: {dataset} is {of} {steps}.")
        for each in sorted(relations[kind].get(way[-1], ())):
            if each not in seen:
                seen.add(each)
                ways.append([*way, each])


def move_storage(*, dataset: Dataset, before: str) -> None:
    """Give the images whose addresses lie in the former storage those in the present one."""
    if not before or before == dataset.storage:
        return
    images = Image.objects.filter(dataset=dataset, remote_url__startswith=f"{before}/")
    last = 0
    while rows := list(
        images.filter(pk__gt=last).order_by("pk").values_list("pk", "remote_url")[:_BATCH]
    ):
        paths = [find_stored_path(before, address) for _, address in rows]
        addresses = [join_storage(dataset.storage, path) for path in paths]
        with connection.cursor() as cursor:
            cursor.execute(_SET_ADDRESSES, [[pk for pk, _ in rows], addresses])
        last = rows[-1][0]
    rebuild_profiles(dataset_ids=[dataset.pk])


def refresh_images(*, image_ids: Iterable[int]) -> None:
    """Update the profiles after single images or their labels were saved."""
    refresh_image_profiles(image_ids=image_ids)


def set_datasets_active(*, datasets: DatasetQuerySet, is_active: bool) -> int:
    """Show or hide datasets with all their images; whoever holds images still sees them."""
    return datasets.exclude(is_active=is_active).update(is_active=is_active)


def delete_dataset(*, dataset: Dataset) -> None:
    """Delete a dataset with its images, however many, without loading them.

    Raises:
        StillInUse: at least one of its images is held.
    """
    images = Image.objects.filter(dataset=dataset)

    def refuse_held() -> None:
        for holder in image_holders:
            if images.held_by(holder).exists():
                raise StillInUse(
                    f"{holder.name.capitalize()} hold images of “{dataset.title}”. Deactivate it "
                    f"instead: it then disappears from search, and the {holder.name} stay whole."
                )

    with _deletion(refuse_held):
        claim_dataset(dataset=dataset)
        refuse_held()
        profiles = ImageProfile.objects.filter(dataset=dataset)
        _delete_unloaded(ImageLabel.objects.filter(image__in=images))
        _delete_unloaded(images)
        _delete_unloaded(ProfileText.objects.filter(profile__in=profiles))
        _delete_unloaded(profiles)
        dataset.delete()


def delete_images(*, image_ids: Iterable[int]) -> None:
    """Delete single images and rebuild the profiles of their datasets.

    Raises:
        StillInUse: one of them is held.
    """
    images = Image.objects.filter(pk__in=list(image_ids))

    def refuse_held() -> None:
        for holder in image_holders:
            if held := images.held_by(holder).first():
                raise StillInUse(
                    f"{holder.name.capitalize()} hold the image “{held.source_id}”, so "
                    "it cannot be deleted."
                )

    with _deletion(refuse_held):
        dataset_ids = set(images.values_list("dataset_id", flat=True))
        with connection.cursor() as cursor:
            lock_datasets(cursor, sorted(dataset_ids))
        refuse_held()
        images.delete()
        rebuild_profiles(dataset_ids=dataset_ids)
        _restore_published_numbers(dataset_ids)


@contextmanager
def _deletion(refuse_held: Callable[[], None]) -> Iterator[None]:
    """A transaction that deletes images, unless a freeze that ends meanwhile holds one of them.

    ``refuse_held`` raises StillInUse then: not each freeze waits for the locks of datasets.
    """
    try:
        with transaction.atomic():
            yield
            with connection.cursor() as cursor:
                check_foreign_keys(cursor)
    except IntegrityError:
        refuse_held()
        raise


def _restore_published_numbers(dataset_ids: Iterable[int]) -> None:
    """Datasets without images state the numbers of their publisher again."""
    for dataset in Dataset.objects.filter(pk__in=dataset_ids, profiles__isnull=True):
        dataset.num_images = dataset.imported_json.get("num_images", 0)
        dataset.size_mb = dataset.imported_json.get("size_mb")
        dataset.save(update_fields=["num_images", "size_mb", "updated_at"])


def _delete_unloaded(rows: object) -> None:
    """Delete without Django's collector, which would load every row first."""
    rows._raw_delete(rows.db)  # type: ignore[attr-defined]
