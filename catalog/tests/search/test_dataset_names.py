"""Which words are names of datasets; no database."""

import pytest

from catalog.search.query import NamedDataset, Spellings, parse_query
from vocab.text import TermRef

TITLES = {
    "nih-chestxray14": "NIH ChestX-ray14",
    "mimic-cxr": "MIMIC-CXR Database",
    "mimic-cxr-jpg": "MIMIC-CXR-JPG",
    "kits23": "KiTS23: Kidney and Kidney Tumor Segmentation",
    "c4kc_kits": "C4KC-KiTS",
    "brats-2021": "BraTS 2021",
    "shenzhen-cxr": "Shenzhen Hospital chest X-ray set",
    "medical-decathlon": "Medical Segmentation Decathlon",
    "brain-tumor-figshare": "Brain tumor dataset (Cheng)",
    "pancreas_ct": "Pancreas-CT",
    "rsna-bone-age": "RSNA Pediatric Bone Age 2017",
    "rsna-ich-2019": "RSNA Intracranial Hemorrhage Detection 2019",
    "fdg_pet_ct": "FDG-PET-CT-Lesions (autoPET)",
}
WORDS = "chest,x-ray,xray,kidney,tumor,brain,pancreas,ct,pet,segmentation,pediatric,lesions,cxr"
TERMS = {
    word.replace("-", " "): [TermRef("tag", number, word, word)]
    for number, word in enumerate(WORDS.split(","))
}
SPELLINGS = Spellings(
    TERMS,
    datasets=[
        NamedDataset(TermRef("dataset", number, slug, title), title, slug)
        for number, (slug, title) in enumerate(TITLES.items())
    ],
    plain_words={"medical", "hospital"},
)


def read(text: str) -> tuple[str, str]:
    """The datasets that are named, and the other parts of the query."""
    parsed = parse_query(text, SPELLINGS)
    named = [code for match in parsed.matches if match.name == "dataset" for code in match.codes]
    others = [match.words for match in parsed.matches if match.name != "dataset"]
    return " ".join(named), " ".join([*others, *parsed.rest])


@pytest.mark.parametrize(
    ("text", "slugs"),
    [
        ("brats", "brats-2021"),
        ("BraTS 2021", "brats-2021"),
        ("brats2021", "brats-2021"),
        ("brats-2021", "brats-2021"),
        ("mimic", "mimic-cxr mimic-cxr-jpg"),
        ("MIMIC-CXR", "mimic-cxr"),
        ("kits", "kits23 c4kc_kits"),
        ("kits 23", "kits23"),
        ("nih chest x-ray14", "nih-chestxray14"),
        ("chestx-ray14", "nih-chestxray14"),
        ("Shenzhen", "shenzhen-cxr"),
        ("cheng", "brain-tumor-figshare"),
        ("autopet", "fdg_pet_ct"),
        ("pancreas-ct", "pancreas_ct"),
        ("Medical Segmentation Decathlon", "medical-decathlon"),
        ("rsna", "rsna-bone-age rsna-ich-2019"),
    ],
)
def test_a_name_or_a_distinct_part_of_it_means_the_dataset(text: str, slugs: str) -> None:
    assert read(text) == (slugs, "")


@pytest.mark.parametrize(
    "text",
    ["chest x-ray", "pancreas ct", "brain tumor", "kidney tumor", "medical", "nih", "fdg"],
)
def test_words_that_others_use_too_are_no_names(text: str) -> None:
    assert read(text)[0] == ""


def test_a_name_stands_among_other_words() -> None:
    assert read("chest x-ray brats pediatric") == ("brats-2021", "chest x-ray pediatric")


def test_no_word_is_corrected_to_a_name() -> None:
    assert read("brass") == ("", "brass")


def test_several_names_are_alternatives() -> None:
    parsed = parse_query("brats mimic", SPELLINGS)
    assert [len(group) for group in parsed.groups] == [2]
