"""A description reads well whichever facts are known."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.importers.survey.description import describe_facts

NAMES = {
    "ct": "Computed tomography", "mr": "Magnetic resonance", "lung": "Lung", "brain": "Brain",
    "multiple": "Several areas", "other": "Other or unknown area", "covid-19": "COVID-19",
    "glioma": "Glioma", "wilms-tumor": "Wilms tumor", "segmentation": "Segmentation", "vqa":
    "Visual question answering", "alzheimers-disease": "Alzheimer's disease",
}  # fmt: skip


def name_of(vocabulary: str, code: str) -> str:
    return NAMES[code]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({}, "Images."),
        (
            {"modalities": ["ct"], "area": "lung", "dimensions": ["3d"], "num_images": 888,
             "sample_unit": "volume", "year": 2016, "access": "registration",
             "source_url": "https://luna16.grand-challenge.org/", "has_labels": True,
             "task_types": ["segmentation"], "labels": ["covid-19", "glioma"]},
            "Computed tomography of the lung, in 3D: 888 volumes. About: COVID-19 and glioma. Made "
            "for segmentation. Labels or annotations are published with the images. First "
            "published in 2016 at Grand Challenge. They can be downloaded after a registration.",
        ),
        (
            {"area": "brain", "other_areas": ["lung"], "dimensions": ["2d", "3d", "video"],
             "num_images": 2700, "is_num_rounded": True, "has_labels": False},
            "Images of the brain and the lung, in 2D and 3D and as video: about 2,700 samples "
            "(images, scans or patients). No labels are published with the images, as far as is "
            "known.",
        ),
        (
            {"modalities": ["mr", "ct"], "area": "multiple", "labels": ["wilms-tumor"],
             "source_url": "https://doi.org/10.7937/x"},
            "Magnetic resonance and computed tomography of several parts of the body. About: Wilms "
            "tumor. Published at the Cancer Imaging Archive.",
        ),
        (
            {"area": "other", "is_synthetic": True, "parts": ["Task 1", "Task 2"], "num_images": 1},
            "Images: 1 sample (an image, a scan or a patient). The images are synthetic: they show "
            "no patient. Its parts: Task 1; Task 2.",
        ),
    ],
)  # fmt: skip
def test_facts_become_sentences(entry: dict[str, Any], text: str) -> None:
    assert describe_facts(entry, name_of) == text


FACTS = {
    "modalities": st.lists(st.sampled_from(["ct", "mr"]), unique=True),
    "area": st.sampled_from(["", "lung", "multiple", "other"]),
    "other_areas": st.lists(st.sampled_from(["brain", "other"]), unique=True),
    "dimensions": st.lists(st.sampled_from(["2d", "3d", "4d", "video"]), unique=True),
    "labels": st.lists(st.sampled_from(["covid-19", "glioma", "alzheimers-disease"]), unique=True),
    "task_types": st.lists(st.sampled_from(["segmentation", "vqa"]), unique=True),
    "num_images": st.sampled_from([0, 1, 2, 2700]),
    "is_num_rounded": st.booleans(),
    "sample_unit": st.sampled_from(["", "volume", "patient"]),
    "year": st.sampled_from([None, 2019]),
    "access": st.sampled_from(["", "open", "registration", "application"]),
    "has_labels": st.sampled_from([None, True, False]),
    "is_synthetic": st.booleans(),
    "is_unconfirmed": st.booleans(),
    "parts": st.lists(st.sampled_from(["Task 1", "Task 2"]), unique=True),
    "source_url": st.sampled_from(["", "https://x.org", "https://zenodo.org/records/1"]),
}


@given(st.fixed_dictionaries({}, optional=FACTS))
def test_every_combination_is_made_of_whole_sentences(entry: dict[str, Any]) -> None:
    text = describe_facts(entry, name_of)
    assert re.fullmatch(r"[A-Z].*\.", text)
    assert not re.search(r"  | ,| \.|\.\.|,\.|:\.|\bNone\b| of\.|\(\)", text), text
    for sentence in re.split(r"(?<=\.) ", text):
        assert sentence[0].isupper(), sentence
