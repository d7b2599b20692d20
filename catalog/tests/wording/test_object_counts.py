"""What a number counts, in words."""

import pytest

from catalog.wording.object_counts import noun_of, only_others, say_objects, say_published


@pytest.mark.parametrize(
    ("counts", "words", "noun"),
    [
        ({}, "0 images", "images"),
        ({"picture": 1}, "1 image", "image"),
        ({"picture": 1767}, "1,767 images", "images"),
        ({"segmentation": 1}, "1 segmentation", "segmentation"),
        ({"picture": 0, "segmentation": 12}, "12 segmentations", "segmentations"),
        ({"plan": 2}, "2 radiotherapy plans and records", "radiotherapy plans and records"),
        ({"picture": 1, "report": 1}, "1 picture or series; 1 report", "objects"),
        (
            {"segmentation": 400_000, "picture": 771_000, "report": 95_000},
            "771,000 pictures and series; 495,000 other objects",
            "objects",
        ),
        ({"segmentation": 4, "report": 5}, "9 other objects", "other objects"),
        ({"other": 1}, "1 other object", "other object"),
    ],
)
def test_numbers_say_what_they_count(counts: dict[str, int], words: str, noun: str) -> None:
    assert say_objects(counts) == words
    assert noun_of(counts) == noun


def test_pictures_beside_other_objects_are_called_so() -> None:
    assert say_objects({"picture": 2}, beside=True) == "2 pictures and series"
    assert noun_of({"picture": 1}, beside=True) == "picture or series"
    assert noun_of({}, beside=True) == "pictures and series"
    assert say_objects({"segmentation": 2}, beside=True) == "2 segmentations"
    assert noun_of({"picture": 7}, number=1) == "image", "the noun for a part of them"
    assert noun_of({"picture": 7, "report": 1}, number=1) == "object"
    assert only_others({"picture": 7, "report": 0, "dose": 1}) == {"dose": 1}


@pytest.mark.parametrize(
    ("number", "unit", "words"),
    [
        (150, "patient", "150 patients"),
        (1, "study", "1 study"),
        (1250, "series", "1,250 series"),
        (150, "", "150 images or studies"),
        (1, "", "1 image or study"),
        (0, "patient", ""),
    ],
)
def test_published_numbers_say_what_they_count(number: int, unit: str, words: str) -> None:
    assert say_published(number, unit) == words
