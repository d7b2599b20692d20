"""The catalog entry of a collection of the Imaging Data Commons."""

import html
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalog.models import SampleUnit
from vocab.text import TermRef

# From a vocabulary and words to the terms that each word means.
Find = Callable[[str, Sequence[str]], Mapping[str, Sequence[TermRef]]]

# Simulated images: in-silico trials and digital reference objects.
SYNTHETIC = frozenset({"victre", "dro_toolkit", "gbm_dsc_mri_dro"})
LARGE_SCALE_SERIES = 10_000
# Fields that the shipped entries describe better than the index; others come from the index.
KEPT_OF_SHIPPED = ("formerly", "title", "area")
JOINED_WITH_SHIPPED = ("task_types", "tags")
UNIT = "Each image here is a DICOM series of the NCI Imaging Data Commons."
_NO_CANCER = re.compile(r"phantom|non-?cancer|non-diseased|various", re.IGNORECASE)
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>")
_ENTITY = re.compile(r"&(?:#[0-9]+|#x[0-9A-Fa-f]+|[A-Za-z][A-Za-z0-9]*);")
_TWICE = re.compile(r"(https?://[^\s()]+) \(\1\)")
# Most descriptions end with this reference, which the source URL replaces.
_POINTER = re.compile(
    r"\bPlease see the.*?"
    r"(?:supporting (?:meta)?data (?:for|from) this collection|associated metadata)\b\.?"
)
# The shipped entries count files, the index counts series.
_OTHER_COUNT = re.compile(r"\s*\bThe count is [^.]*\.")


@dataclass(slots=True)
class SeriesSummary:
    """Numbers of series of one collection by their values; its rows are [start, stop).

    What is ``own_…`` excludes the results of later analyses, which others publish
    under their own terms.
    """

    start: int
    stop: int = 0
    modalities: Counter[str] = field(default_factory=Counter)
    own_modalities: Counter[str] = field(default_factory=Counter)
    body_parts: Counter[str] = field(default_factory=Counter)
    own_licenses: Counter[str] = field(default_factory=Counter)
    own_dois: Counter[str] = field(default_factory=Counter)
    licenses: Counter[str] = field(default_factory=Counter)
    size_mb: float = 0.0

    @property
    def license(self) -> str:
        """The most frequent licence of the images themselves, as the index spells it."""
        return _most_common(self.own_licenses or self.licenses)


def describe_collection(
    collection: Mapping[str, Any],
    summary: SeriesSummary,
    *,
    find: Find,
    shipped: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The catalog entry of one row of ``collections_index`` and its series.

    ``shipped`` is the shipped entry of the same dataset: its description and its terms are kept.
    Unknown licences and modalities are ignored.
    """
    source = _own_source(collection)
    known = _Known(find)
    entry = {
        "slug": collection["collection_id"],
        "title": clean_text(collection.get("collection_name")) or collection["collection_id"],
        "description": _describe(collection),
        "source_url": source.get("source_url") or "",
        "doi": source.get("source_doi") or _most_common(summary.own_dois),
        "citation": _cite(collection),
        "license": known.one("license", summary.license),
        "area": _find_area(collection, summary, known),
        "modalities": known.all("modality", list(summary.modalities)),
        "task_types": known.all("task", list(_propose_tasks(summary))),
        "tags": known.all("tag", list(_propose_tags(collection, summary))),
        "num_images": summary.stop - summary.start,
        "sample_unit": SampleUnit.SERIES.value,
        "size_mb": max(1, round(summary.size_mb)),
        "is_synthetic": collection["collection_id"] in SYNTHETIC,
    }
    return _join(entry, shipped, _state_facts(collection)) if shipped else entry


def clean_text(text: str | None) -> str:
    """One line of plain text, without markup, character references and repeated spaces."""
    text = _MARKUP.sub("", text or "")
    text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    return _TWICE.sub(r"\1", " ".join(text.split()))


class _Known:
    """The codes of words that mean exactly one term of a vocabulary."""

    def __init__(self, find: Find) -> None:
        self._find = find

    def one(self, vocabulary: str, word: str) -> str:
        return next(iter(self.all(vocabulary, [word])), "")

    def all(self, vocabulary: str, words: Sequence[str]) -> list[str]:
        found = self._find(vocabulary, [word for word in words if word])
        return sorted({terms[0].code for terms in found.values() if len(terms) == 1})


def _join(entry: dict[str, Any], shipped: Mapping[str, Any], facts: str) -> dict[str, Any]:
    joined = {**entry, **{name: shipped[name] for name in KEPT_OF_SHIPPED if name in shipped}}
    prose = _OTHER_COUNT.sub("", shipped.get("description", "")).strip()
    joined["description"] = "\n\n".join(filter(None, [prose, facts]))
    for name in JOINED_WITH_SHIPPED:
        joined[name] = sorted({*entry[name], *shipped.get(name, ())})
    # The source itself is cited once, as in the shipped entry.
    own = shipped.get("citation", "").strip()
    if own and shipped.get("doi", "").casefold() == entry["doi"].casefold():
        others = entry["citation"].split("\n\n")[1:]
        joined["citation"] = "\n\n".join([own, *others])
    return joined


def _own_source(collection: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first source that is not a later analysis by others."""
    sources = collection.get("sources") or []
    own = [each for each in sources if each.get("source_type") == "original_data"]
    return next(iter(own or sources), {})


def _describe(collection: Mapping[str, Any]) -> str:
    prose = _POINTER.sub("", clean_text(collection.get("description"))).strip()
    return "\n\n".join(filter(None, [prose, _state_facts(collection)]))


def _state_facts(collection: Mapping[str, Any]) -> str:
    names = {
        "Cancer types": "cancer_types",
        "Locations": "tumor_locations",
        "Species": "species",
        "Subjects": "subjects",
        "Also published": "supporting_data",
    }
    facts = {name: clean_text(str(collection.get(key) or "")) for name, key in names.items()}
    lines = [f"{name}: {value}." for name, value in facts.items() if value]
    return " ".join([*lines, UNIT])


def _cite(collection: Mapping[str, Any]) -> str:
    """The citations of all sources, the collection's own first."""
    own = _own_source(collection)
    sources = sorted(collection.get("sources") or [], key=lambda each: each is not own)
    cited = dict.fromkeys(clean_text(each.get("citation")) for each in sources)
    return "\n\n".join(filter(None, cited))


def _find_area(collection: Mapping[str, Any], summary: SeriesSummary, known: _Known) -> str:
    """The area of the stated locations, or else of the most frequent known body part."""
    stated = clean_text(collection.get("tumor_locations"))
    # "Abdomen, Pelvis" is one area.
    if whole := known.one("area", stated):
        return whole
    areas = known.all("area", [word.strip() for word in stated.split(",")])
    if not areas:
        examined = (known.one("area", word) for word, _ in summary.body_parts.most_common())
        return next(filter(None, examined), "")
    return areas[0] if len(areas) == 1 else known.one("area", "multiple")


def _propose_tasks(summary: SeriesSummary) -> Iterator[str]:
    """What the collection's own series are for; genomic data beside them say nothing of that."""
    if summary.own_modalities.keys() & {"SEG", "RTSTRUCT"}:
        yield "segmentation"
    if summary.own_modalities.keys() & {"RTPLAN", "RTDOSE"}:
        yield "radiotherapy-planning"


def _propose_tags(collection: Mapping[str, Any], summary: SeriesSummary) -> Iterator[str]:
    """Words for tags; those that the vocabulary lacks are ignored."""
    yield from ("dicom", "open-access", "deidentified", "NCI Imaging Data Commons")
    cancers = (collection.get("cancer_types") or "").split(",")
    if any(cancer.strip() and not _NO_CANCER.search(cancer) for cancer in cancers):
        yield "cancer"
    if "COVID-19" in (collection.get("cancer_types") or ""):
        yield "covid-19"
    for species in (collection.get("species") or "").split(","):
        yield species.strip().lower()
    supporting = (collection.get("supporting_data") or "").lower()
    yield from (tag for word, tag in _SUPPORTING.items() if word in supporting)
    found = summary.modalities.keys()
    yield from (tag for modality, tag in _TAG_OF_MODALITY.items() if modality in found)
    name = f"{collection.get('collection_name')} {collection.get('description')}".lower()
    if "pediatric" in name or "childhood" in name:
        yield "pediatric"
    if collection["collection_id"] in SYNTHETIC:
        yield "synthetic"
    if summary.stop - summary.start >= LARGE_SCALE_SERIES:
        yield "large-scale"


_SUPPORTING = {
    "clinical": "clinical-data",
    "genomics": "genomics",
    "proteomics": "genomics",
    "histopathology": "pathology",
}
_TAG_OF_MODALITY = {
    "SM": "wsi",
    "SEG": "masks",
    "RTSTRUCT": "masks",
    "RTPLAN": "radiotherapy",
    "RTDOSE": "radiotherapy",
}


def _most_common(words: Counter[str]) -> str:
    # The alphabetical order makes the choice among equally frequent words stable.
    return min(words, key=lambda word: (-words[word], word)) if words else ""
