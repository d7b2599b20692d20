"""Profiles agree with the images after every kind of edit."""

from collections import Counter
from collections.abc import Callable

import pytest
from django.utils import timezone

from catalog.models import Dataset, Image, ImageLabel, ImageProfile
from catalog.profiles.building import rebuild_profiles, refresh_image_profiles
from catalog.services import delete_dataset, delete_images, refresh_dataset
from catalog.tests.factories import DatasetFactory, ImageFactory, add_file, make_searchable
from vocab.tests.factories import AreaFactory, LabelFactory, ModalityFactory

pytestmark = pytest.mark.django_db


def truth() -> Counter:
    """Profiles as the images themselves give them, in plain Python."""
    counted: Counter = Counter()
    for image in Image.objects.filter(removed_at=None).select_related("dataset"):
        labels = image.image_labels.filter(finding="positive").values_list("label_id", flat=True)
        band = None if image.age_years is None else int(image.age_years // 10 * 10)
        counted[(
            image.dataset_id, image.area_id or image.dataset.area_id, image.modality_id,
            tuple(sorted(labels)), image.sex, band, image.availability,
            image.license_id, image.view_id,
        )] += 1  # fmt: skip
    return counted


def stored() -> Counter:
    counted: Counter = Counter()
    for p in ImageProfile.objects.all():
        counted[
            (p.dataset_id, p.area_id, p.modality_id, tuple(p.label_ids), p.sex, p.age_band,
             p.availability, p.license_id, p.view_id)
        ] = p.num_images  # fmt: skip
    return counted


def completed(age: float | None) -> int:
    """The completed age in months; from two years on, of whole years."""
    if age is None:
        return -1
    return int(age) * 12 if age >= 2 else int(age * 12 + 0.06)


def assert_profiles_are_true() -> None:
    assert stored() == truth()
    sizes = Image.objects.filter(size_bytes__gt=0).values_list("profile_id", "size_bytes")
    for profile in ImageProfile.objects.all():
        assert profile.num_bytes == sum(size or 0 for pk, size in sizes if pk == profile.pk)
        ages = Image.objects.filter(profile=profile).values_list("age_years", "size_bytes")
        by_age = sorted({completed(age) for age, _ in ages})
        assert profile.ages == by_age
        assert profile.age_images == [
            sum(completed(age) == of_age for age, _ in ages) for of_age in by_age
        ]
        assert profile.age_bytes == [
            sum(size or 0 for age, size in ages if completed(age) == of_age) for of_age in by_age
        ]
    assert not Image.objects.filter(profile=None, removed_at=None).exists()
    assert not Image.objects.exclude(profile=None).exclude(removed_at=None).exists()


@pytest.fixture
def images() -> list[Image]:
    dataset = DatasetFactory(area=AreaFactory(code="chest"))
    ct = ModalityFactory(code="ct")
    made: list[Image] = [
        ImageFactory(dataset=dataset, modality=ct, sex=sex, age_years=age, labels=labels)
        for sex, age, labels in [
            ("F", 9.99, ["nodule"]), ("F", 0, ["nodule"]), ("F", 10, ["nodule"]),
            ("", None, []), ("M", 55, ["mass", "nodule"]), ("M", 55, ["nodule", "mass"]),
        ]
    ]  # fmt: skip
    make_searchable()
    return made


def test_images_with_equal_values_share_a_profile(images: list[Image]) -> None:
    assert_profiles_are_true()
    assert sorted(stored().values()) == [1, 1, 2, 2]


def test_rebuilding_changes_nothing_when_nothing_changed(images: list[Image]) -> None:
    before = set(ImageProfile.objects.values_list("pk", "num_images"))
    make_searchable()
    assert set(ImageProfile.objects.values_list("pk", "num_images")) == before


def test_an_edited_image_moves_to_another_profile(images: list[Image]) -> None:
    image = images[0]
    image.sex, image.age_years, image.area = "O", None, AreaFactory(code="lung")
    image.save()
    ImageLabel.objects.filter(image=image).update(finding="uncertain")
    add_file(images[1], b"some bytes")
    refresh_image_profiles(image_ids=[images[0].pk, images[1].pk])
    assert_profiles_are_true()


def test_another_age_of_the_same_band_is_counted(images: list[Image]) -> None:
    Image.objects.filter(pk=images[0].pk).update(age_years=0.5, size_bytes=7)
    refresh_image_profiles(image_ids=[images[0].pk])
    assert_profiles_are_true()
    profile = ImageProfile.objects.get(age_band=0)
    assert (profile.ages, profile.age_images, profile.age_bytes) == ([0, 6], [1, 1], [0, 7])


def test_a_dataset_that_gets_another_area_takes_its_images_along(images: list[Image]) -> None:
    dataset = images[0].dataset
    dataset.area = AreaFactory(code="heart")
    dataset.save()
    refresh_dataset(dataset=dataset, area_changed=True)
    assert_profiles_are_true()


def test_deleted_images_are_no_longer_counted(images: list[Image]) -> None:
    delete_images(image_ids=[images[0].pk, images[3].pk])
    assert_profiles_are_true()
    assert stored().total() == 4


def test_removed_images_have_no_profile_and_get_none(images: list[Image]) -> None:
    Image.objects.filter(pk=images[0].pk).update(removed_at=timezone.now(), profile=None)
    rebuild_profiles(dataset_ids=[images[0].dataset_id])
    assert_profiles_are_true()
    assert stored().total() == 5
    refresh_image_profiles(image_ids=[image.pk for image in images])
    assert_profiles_are_true()
    assert stored().total() == 5


def test_datasets_follow_their_profiles(images: list[Image]) -> None:
    dataset = images[0].dataset
    Image.objects.update(size_bytes=1_000_000)
    Dataset.objects.update(num_images=99)
    rebuild_profiles(dataset_ids=[dataset.pk])
    dataset.refresh_from_db()
    assert (dataset.num_images, dataset.size_mb) == (6, 6)
    delete_images(image_ids=[image.pk for image in images[:5]])
    dataset.refresh_from_db()
    assert (dataset.num_images, dataset.size_mb) == (1, 1)


def test_a_dataset_without_images_states_what_its_publisher_does() -> None:
    dataset = DatasetFactory(num_images=112_120, size_mb=42_000)
    rebuild_profiles(dataset_ids=[dataset.pk])
    dataset.refresh_from_db()
    assert (dataset.num_images, dataset.size_mb) == (112_120, 42_000)


def test_every_change_gives_its_dataset_a_new_version(images: list[Image]) -> None:
    other = DatasetFactory()
    edits: list[Callable[[], None]] = [
        lambda: rebuild_profiles(dataset_ids=[images[0].dataset_id]),
        lambda: refresh_image_profiles(image_ids=[images[0].pk]),
        lambda: delete_images(image_ids=[images[1].pk]),
    ]
    for edit in edits:
        before = dict(Dataset.objects.values_list("pk", "version"))
        edit()
        after = dict(Dataset.objects.values_list("pk", "version"))
        assert after[images[0].dataset_id] > before[images[0].dataset_id]
        assert after[other.pk] == before[other.pk]


def test_a_deleted_dataset_leaves_nothing_behind(images: list[Image]) -> None:
    other = ImageFactory(labels=["nodule"])
    rebuild_profiles(dataset_ids=[other.dataset_id])
    delete_dataset(dataset=images[0].dataset)
    assert_profiles_are_true()
    assert list(Dataset.objects.all()) == [other.dataset]
    assert ImageLabel.objects.count() == 1
    assert LabelFactory(code="nodule").images.count() == 1
