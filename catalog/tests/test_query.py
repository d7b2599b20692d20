"""The query parser, by table; no database."""

import pytest

from catalog.query import parse_query
from vocab.text import TermRef, normalize

CR = TermRef("modality", 1, "cr", "Computed radiography")
DX = TermRef("modality", 2, "dx", "Digital radiography")
CT = TermRef("modality", 3, "ct", "Computed tomography")
CHEST = TermRef("area", 1, "chest", "Chest")
LUNG = TermRef("area", 2, "lung", "Lung")
NODULE = TermRef("label", 1, "lung-nodule", "Lung nodule")
PNEUMONIA = TermRef("label", 2, "pneumonia", "Pneumonia")
SPELLINGS = {
    normalize(spelling): refs
    for spelling, refs in {
        "X-ray": [CR, DX],
        "CXR": [CR, DX],
        "CT": [CT],
        "chest": [CHEST],
        "lung": [LUNG],
        "lung nodule": [NODULE],
        "pneumonia": [PNEUMONIA, TermRef("tag", 9, "pneumonia", "Pneumonia")],
    }.items()
}


@pytest.mark.parametrize(
    ("text", "terms", "rest"),
    [
        ("", [], ""),
        ("chest x-ray", [["chest"], ["cr", "dx"]], ""),
        ("CHEST  X ray", [["chest"], ["cr", "dx"]], ""),
        ("cxr pneumonia", [["cr", "dx"], ["pneumonia"]], ""),
        ("lung nodule CT", [["lung-nodule"], ["ct"]], ""),
        ("CT of the lung", [["ct"], ["lung"]], ""),
        ("nodule in the lung", [["lung"]], "nodule"),
        ("images from NIH", [], "NIH"),
        ("chest/x-ray", [], "chest/x-ray"),
        ("1.2.840.113619 ct", [["ct"]], "1.2.840.113619"),
        ("--- ct", [["ct"]], ""),
        ("' OR 1=1", [], "1=1"),
    ],
)
def test_a_query_is_split_into_terms_and_other_words(
    text: str, terms: list[list[str]], rest: str
) -> None:
    parsed = parse_query(text, SPELLINGS)
    assert [[ref.code for ref in match.terms] for match in parsed.matches] == terms
    assert " ".join(parsed.rest) == rest


def test_a_word_of_several_vocabularies_means_the_first() -> None:
    (match,) = parse_query("pneumonia", SPELLINGS).matches
    assert (match.vocabulary, match.words) == ("label", "pneumonia")
    assert match.terms == (PNEUMONIA,)
