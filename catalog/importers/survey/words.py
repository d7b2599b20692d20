"""The words of the survey as codes of the vocabularies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from catalog.importers.survey.rows import split_words
from catalog.models import Dimension
from vocab.text import TermRef

# From a vocabulary and words to the terms that each word means.
Find = Callable[[str, Sequence[str]], Mapping[str, Sequence[TermRef]]]

# Abbreviations of the survey, and words that mean another thing there than elsewhere.
_WORDS: Mapping[str, Mapping[str, str]] = {
    "task": {
        "cls": "classification", "seg": "segmentation", "det": "detection", "loc": "detection",
        "reg": "registration", "rec": "reconstruction", "recon": "reconstruction",
        "pred": "survival", "prog": "survival", "surv": "survival", "est": "regression",
        "meas": "regression", "quan": "regression", "gen": "synthesis", "syn": "synthesis",
        "qa": "quality-assessment", "iqa": "quality-assessment", "lmk": "landmark",
        "track": "tracking", "caption": "report-generation",
    },
    "modality": {
        "us": "us", "pet": "pt", "histopathology (patch)": "sm", "histopathology (wsi)": "sm",
        "histopathology": "sm", "histo": "sm", "pathology": "sm", "wsi": "sm",
        "microscopy": "gm", "oct": "opt", "fundus photo": "op", "fundus (cfp)": "op",
        "3d dsa": "xa", "infrared": "tg", "rgb": "xc", "digital photography": "xc",
    },
    "area": {
        "retina": "eye", "full body": "whole-body", "multi-organ": "multiple",
        "head and neck": "head-neck", "polyp": "colon", "nuclei": "", "cell": "",
    },
}  # fmt: skip
# Stand for "several modalities" or for nothing.
_SILENT = {"modality": frozenset({"multi", "series data"}), "area": frozenset({"multiple"})}


class Understood(NamedTuple):
    """The codes of a cell, in its order, and the words that mean no term or several."""

    codes: list[str]
    unknown: list[str]


def understand(vocabulary: str, cell: str, find: Find) -> Understood:
    """What the words of a cell mean in one vocabulary."""
    own = _WORDS.get(vocabulary, {})
    words = [w for w in split_words(cell) if w.casefold() not in _SILENT.get(vocabulary, ())]
    terms = find(vocabulary, words)
    codes, unknown = list[str](), list[str]()
    for word in words:
        if word.casefold() in own:
            codes.append(own[word.casefold()])
        elif len(terms[word]) == 1:
            codes.append(terms[word][0].code)
        else:
            unknown.append(word)
    return Understood(list(dict.fromkeys(filter(None, codes))), unknown)


def read_dimensions(cells: Iterable[str]) -> list[str]:
    """The dimensions that the cells name, in the order of their choices."""
    named = {word.casefold() for cell in cells for word in split_words(cell)}
    return [each for each in Dimension.values if each in named]
