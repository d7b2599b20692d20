"""check_catalog finds whatever disagrees with the images, and mends it."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from catalog.models import Dataset, Image, ImageLabel, ImageProfile, ProfileText
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from vocab.tests.factories import AreaFactory, LabelFactory, ModalityFactory

pytestmark = pytest.mark.django_db


def check_catalog(**options: bool) -> str:
    out = StringIO()
    call_command("check_catalog", stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def dataset() -> Dataset:
    """Six images in four profiles, and beside them a dataset that is right, and an empty one."""
    made: Dataset = DatasetFactory(slug="rays", area=AreaFactory(code="chest"))
    for sex, age, labels in [
        ("F", 5, ["nodule"]), ("F", 6, ["nodule"]), ("M", None, ["mass", "nodule"]),
        ("M", None, ["nodule", "mass"]), ("", 70, []), ("O", 71, []),
    ]:  # fmt: skip
        ImageFactory(dataset=made, sex=sex, age_years=age, labels=labels, size_bytes=10)
    ImageFactory(dataset=DatasetFactory(slug="other"))
    DatasetFactory(slug="published", num_images=112_120)
    make_searchable()
    return made


def expect_wrong(text: str) -> None:
    """It is reported with what to do, repaired by --repair, and correct afterwards."""
    out = StringIO()
    with pytest.raises(CommandError, match=r"of rays are wrong. Run manage.py .* --repair"):
        call_command("check_catalog", stdout=out)
    assert f"rays: {text}" in out.getvalue()
    assert "2 of 3 datasets are correct" in out.getvalue()
    assert "Recounted: rays" in check_catalog(repair=True)
    assert "3 of 3 datasets are correct" in check_catalog()


def test_a_correct_catalog_is_reported_as_correct(dataset: Dataset) -> None:
    assert check_catalog() == "3 of 3 datasets are correct (7 images)\n"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"num_images": 9}, "1 wrong profiles"),
        ({"num_bytes": 9}, "1 wrong profiles"),
        ({"ages": [60, 84]}, "1 wrong profiles"),
        ({"age_images": [2, 0]}, "1 wrong profiles"),
        ({"age_bytes": [20, 0]}, "1 wrong profiles"),
        ({"ages": []}, "1 wrong profiles"),
    ],
)
def test_a_wrong_sum_is_found(dataset: Dataset, changes: dict[str, int], text: str) -> None:
    ImageProfile.objects.filter(dataset=dataset, sex="F").update(**changes)
    expect_wrong(text)


def test_a_text_that_its_words_do_not_find_is_found(dataset: Dataset) -> None:
    Image.objects.filter(dataset=dataset, sex="O").update(metadata_json={"Manufacturer": "Canon"})
    expect_wrong("1 wrong texts")
    ProfileText.objects.update(num_images=2)
    expect_wrong("1 wrong texts")
    ProfileText.objects.all().delete()
    expect_wrong("1 wrong texts")


def test_an_edit_outside_the_services_is_found(dataset: Dataset) -> None:
    """One image of two has moved to another age band: both profiles are wrong, and the image."""
    Image.objects.filter(dataset=dataset, age_years=5).update(age_years=10)
    expect_wrong("2 wrong profiles, 1 images with a wrong profile or none")


def test_another_age_of_the_same_band_is_found(dataset: Dataset) -> None:
    Image.objects.filter(dataset=dataset, age_years=5).update(age_years=8)
    expect_wrong("1 wrong profiles")


def test_a_label_that_is_no_longer_positive_is_found(dataset: Dataset) -> None:
    label = LabelFactory(code="mass")
    ImageLabel.objects.filter(label=label).update(finding="uncertain")
    expect_wrong("2 wrong profiles, 2 images with")


def test_another_area_of_the_dataset_is_found(dataset: Dataset) -> None:
    Dataset.objects.filter(pk=dataset.pk).update(area=AreaFactory(code="heart"))
    expect_wrong("8 wrong profiles, 6 images with")


def test_a_modality_where_there_was_none_is_found(dataset: Dataset) -> None:
    Image.objects.filter(sex="O").update(modality=ModalityFactory(code="ct"))
    expect_wrong("2 wrong profiles, 1 images with")


def test_an_image_without_a_profile_is_found(dataset: Dataset) -> None:
    Image.objects.filter(dataset=dataset, sex="").update(profile=None)
    expect_wrong("1 images with a wrong profile or none")


def test_a_profile_without_images_is_found(dataset: Dataset) -> None:
    ImageProfile.objects.create(dataset=dataset, label_ids=[], sex="O", availability="here")
    expect_wrong("1 wrong profiles")


def test_a_wrong_number_of_images_is_found(dataset: Dataset) -> None:
    Dataset.objects.filter(pk=dataset.pk).update(num_images=7)
    expect_wrong("states 7 images and has 6")


def test_a_wrong_size_is_found(dataset: Dataset) -> None:
    Dataset.objects.filter(pk=dataset.pk).update(size_mb=7)
    expect_wrong("states 7 MB and has 1")


def test_removed_images_count_nowhere(dataset: Dataset) -> None:
    image = Image.objects.get(sex="O")
    Image.objects.filter(pk=image.pk).update(removed_at=timezone.now(), profile=None)
    expect_wrong("1 wrong profiles, states 6 images and has 5")
    dataset.refresh_from_db()
    assert dataset.num_images == 5
    assert Image.objects.get(pk=image.pk).profile is None


def test_a_removed_image_that_is_counted_is_found(dataset: Dataset) -> None:
    """The database refuses it; the check does not rely on that."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE catalog_image DROP CONSTRAINT removed_image_counts_nowhere")
    Image.objects.filter(sex="O").update(removed_at=timezone.now())
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("check_catalog", stdout=out)
    assert "1 removed images that are counted" in out.getvalue()


def test_repairing_tells_those_who_keep_facets(dataset: Dataset) -> None:
    ImageProfile.objects.filter(dataset=dataset, sex="F").update(num_images=9)
    before = dict(Dataset.objects.values_list("slug", "version"))
    check_catalog(repair=True)
    after = dict(Dataset.objects.values_list("slug", "version"))
    assert {slug for slug in after if after[slug] != before[slug]} == {"rays"}
