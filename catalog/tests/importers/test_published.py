"""Dataset entries: saved once, left alone where a curator was, refused with what to do."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from catalog.imaging.paths import UnsafePath
from catalog.importers.dataset_entries import (
    SHIPPED_DATASETS,
    BadEntry,
    Change,
    add_missing_datasets,
    read_datasets,
    save_dataset,
)
from catalog.models import Dataset
from catalog.tests.factories import ImageFactory, make_searchable
from catalog.tests.profiles.test_profiles import assert_profiles_are_true
from vocab.models import AnatomicalArea, Tag

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vocabularies")]

ENTRY: dict[str, Any] = {
    "slug": "lung-scans",
    "title": "Lung scans",
    "description": "Thin slices.",
    "source_url": "https://example.org/lungs",
    "area": "chest",
    "modalities": ["ct", "seg"],
    "task_types": ["segmentation"],
    "tags": ["dicom", "cancer"],
    "license": "cc-by-4.0",
    "citation": "Doe 2020.",
    "doi": "10.1234/lungs",
    "num_images": 120,
    "size_mb": 3400,
}


def codes(terms: Any) -> set[str]:
    return set(terms.values_list("code", flat=True))


def is_found(words: str) -> bool:
    """Whether the dataset page finds it, by words that name no term."""
    page = Client().get("/datasets/", {"q": words}).content.decode()
    return "/datasets/lung-scans/" in page


def everything(slug: str = "lung-scans") -> tuple[Any, ...]:
    """All that a write could change."""
    dataset = Dataset.objects.get(slug=slug)
    terms = (dataset.modalities, dataset.task_types, dataset.tags)
    return (
        *Dataset.objects.filter(pk=dataset.pk).values_list().get(),
        *(sorted(codes(each)) for each in terms),
    )


# --- Saving ---
def test_an_entry_becomes_a_dataset_that_can_be_found() -> None:
    dataset, change = save_dataset(entry=ENTRY)

    assert change is Change.ADDED
    assert (dataset.area and dataset.area.code) == "chest"
    assert (dataset.license and dataset.license.code) == "cc-by-4.0"
    assert codes(dataset.modalities) == {"ct", "seg"}
    assert codes(dataset.tags) == {"dicom", "cancer"}
    assert is_found("thin slices")
    assert not is_found("thick walls")


def test_the_same_entry_again_writes_nothing() -> None:
    save_dataset(entry=ENTRY)
    before = everything()

    _, change = save_dataset(entry=ENTRY)

    assert change is Change.UNCHANGED
    assert everything() == before, "not even the time of the last change"


def test_terms_may_be_given_in_any_spelling() -> None:
    spelt = {
        "area": "Thorax",
        "modalities": ["DICOM SEG", "CT scan"],
        "license": "CC BY 4.0",
        "tags": ["Cancer", "DICOM", "cancer"],
    }
    save_dataset(entry=ENTRY)

    _, change = save_dataset(entry={**ENTRY, **spelt})

    assert change is Change.UNCHANGED


def test_what_changed_at_the_source_is_brought_up_to_date() -> None:
    save_dataset(entry=ENTRY)
    newer = {**ENTRY, "title": "Lung scans 2", "tags": ["dicom"], "area": "lung", "doi": ""}

    dataset, change = save_dataset(entry=newer)

    assert change is Change.CHANGED
    dataset.refresh_from_db()
    assert (dataset.title, dataset.doi) == ("Lung scans 2", "")
    assert codes(dataset.tags) == {"dicom"}
    assert is_found("scans 2")


def test_a_new_area_reaches_the_images_that_have_none_of_their_own() -> None:
    dataset, _ = save_dataset(entry=ENTRY)
    ImageFactory(dataset=dataset)
    make_searchable()

    save_dataset(entry={**ENTRY, "area": "heart"})

    assert_profiles_are_true()
    assert {profile.area.code for profile in dataset.profiles.all() if profile.area} == {"heart"}


def test_what_is_not_given_stays() -> None:
    save_dataset(entry=ENTRY)

    dataset, change = save_dataset(entry={"slug": "lung-scans", "citation": None})

    assert change is Change.UNCHANGED
    assert (dataset.title, dataset.citation) == ("Lung scans", "Doe 2020.")


# --- Curators ---
def test_a_field_that_a_curator_changed_is_left_alone() -> None:
    dataset, _ = save_dataset(entry=ENTRY)
    dataset.title, dataset.area = "Our lungs", AnatomicalArea.objects.get(code="lung")
    dataset.save()
    dataset.tags.add(Tag.objects.get(code="screening"))
    newer = {"title": "New", "area": "heart", "tags": ["dicom"], "description": "Thick slices."}

    dataset, change = save_dataset(entry={**ENTRY, **newer})

    dataset.refresh_from_db()
    assert (dataset.title, dataset.area and dataset.area.code) == ("Our lungs", "lung")
    assert codes(dataset.tags) == {"cancer", "dicom", "screening"}
    assert dataset.description == "Thick slices.", "which nobody touched"
    assert change is Change.CHANGED


def test_an_import_fills_only_the_empty_fields_of_a_dataset_made_by_hand() -> None:
    Dataset.objects.create(slug="lung-scans", title="By hand", citation="Me.")

    dataset, _ = save_dataset(entry=ENTRY)

    assert (dataset.title, dataset.citation) == ("By hand", "Me.")
    assert dataset.description == "Thin slices."


def test_counted_numbers_win_over_stated_ones() -> None:
    dataset, _ = save_dataset(entry=ENTRY)
    assert (dataset.num_images, dataset.size_mb) == (120, 3400)
    ImageFactory(dataset=dataset)
    Dataset.objects.filter(pk=dataset.pk).update(num_images=1, size_mb=2)

    dataset, change = save_dataset(entry={**ENTRY, "num_images": 130})

    assert change is Change.UNCHANGED
    assert (dataset.num_images, dataset.size_mb) == (1, 2)


# --- Refusals ---
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"area": "torsoo"}, "area “torsoo”, which the vocabulary “area” does not know"),
        ({"tags": ["dicom", "shiny"]}, "tags “shiny”.*“tag”.*add it there in the admin"),
        ({"license": "do what you like"}, "license “do what you like”"),
        ({"modalities": ["microscopy"]}, "means several terms.*Write one of the codes: .*sm.*gm"),
        ({"modalities": 3}, "“lung-scans”, modalities: give a list of texts"),
        ({"licence": "mit"}, "“lung-scans”, licence: there is no such key; did you mean license"),
        ({"colour": "red"}, "“lung-scans”, colour: there is no such key; there are access, "),
        ({"slug": ""}, "slug: give the dataset's short name"),
        ({"num_images": "many"}, "“lung-scans”, num_images: give a whole number"),
        ({"num_images": -1}, "“lung-scans”, num_images: give a whole number"),
    ],
)
def test_an_unknown_term_of_an_entry_is_refused_with_a_remedy(
    wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(LookupError, match=says):
        save_dataset(entry={**ENTRY, **wrong})

    assert not Dataset.objects.exists()


def test_all_that_is_wrong_in_a_description_is_named_with_its_place_and_an_example() -> None:
    entry = {**ENTRY, "imported_from": "rays/dataset.toml"}
    with pytest.raises(LookupError) as caught:
        save_dataset(entry={**entry, "area": "torsoo", "license": "do what you like"})
    area, license_ = str(caught.value).splitlines()
    assert area.startswith("dataset.toml, [dataset] area: The dataset “lung-scans” has area “tor")
    assert area.endswith('For example: area = "chest"')
    assert license_.startswith("dataset.toml, [dataset] license: ")

    with pytest.raises(LookupError, match=r"dataset.toml, \[dataset\] slug: .*slug = \"my-rays\""):
        save_dataset(entry={**entry, "slug": "no spaces"})
    assert not Dataset.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"slug": "no spaces"}, "slug"),
        ({"doi": "https://doi.org/10.1234/x"}, "doi"),
        ({"title": ""}, "title"),
        ({"title": "x" * 201}, "title"),
    ],
)
def test_an_invalid_value_of_a_field_is_refused(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        save_dataset(entry={**ENTRY, **wrong})

    assert list(refusal.value.message_dict) == [field]
    assert not Dataset.objects.exists()


def test_an_address_that_is_no_page_is_refused() -> None:
    with pytest.raises(BadEntry, match="source_url: Give the address of a page"):
        save_dataset(entry={**ENTRY, "source_url": "javascript:alert(1)"})
    assert not Dataset.objects.exists()


@pytest.mark.parametrize("path", ["/etc", "../elsewhere", "a/../../b"])
def test_a_local_path_outside_the_dataset_folders_is_refused(path: str) -> None:
    with pytest.raises(UnsafePath, match="lies outside the dataset folders"):
        save_dataset(entry={**ENTRY, "local_path": path})

    save_dataset(entry={**ENTRY, "local_path": "lungs/2020"})


def test_a_hidden_term_is_not_given_to_datasets() -> None:
    Tag.objects.filter(code="cancer").update(is_active=False)

    with pytest.raises(LookupError, match="tags “cancer”"):
        save_dataset(entry=ENTRY)


# --- The shipped entries ---
def test_the_shipped_entries_are_saved_and_then_kept(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    entries = read_datasets(SHIPPED_DATASETS)

    with django_assert_max_num_queries(100):  # however many entries there are
        assert add_missing_datasets(entries=entries) == (len(entries), 0)
    Dataset.objects.filter(slug="nlst").update(title="Ours")
    assert add_missing_datasets(entries=entries) == (0, len(entries))

    assert Dataset.objects.get(slug="nlst").title == "Ours"
    for entry in entries:
        assert save_dataset(entry=entry)[1] is Change.UNCHANGED, entry["slug"]
    assert b"LIDC-IDRI" in client.get("/datasets/lidc_idri/").content


def test_an_entry_with_a_new_slug_keeps_its_dataset() -> None:
    """Slugs of some shipped entries became the collection ids of the Imaging Data Commons."""
    entry = next(each for each in read_datasets(SHIPPED_DATASETS) if each.get("formerly"))
    old = {**entry, "slug": entry["formerly"][0], "formerly": []}
    dataset, _ = save_dataset(entry=old)
    ImageFactory(dataset=dataset)

    assert add_missing_datasets(entries=[entry]) == (0, 1)

    (kept,) = Dataset.objects.all()
    assert (kept.pk, kept.slug) == (dataset.pk, entry["slug"])
    assert kept.images.count() == 1
