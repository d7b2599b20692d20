"""The description of a dataset in sentences made of its facts, whichever of them are known."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from catalog.dataset_hosts import OWN, UNKNOWN_HOST, find_host
from catalog.models import Access, Dimension, SampleUnit

# From a vocabulary and a code to the name of the term.
NameOf = Callable[[str, str], str]

_ACCESS = {
    Access.OPEN: "They can be downloaded at once.",
    Access.REGISTRATION: "They can be downloaded after a registration.",
    Access.APPLICATION: "They are given after an application.",
}
# Areas that are no part of a body with an article.
_AREAS = {
    "multiple": "several parts of the body",
    "phantom": "phantoms",
    "whole-body": "the whole body",
    "fetus": "the fetus",
}
_NO_AREA = "other"
_MANY_PARTS = 8
# People whose names begin names of findings.
_PEOPLE = ("Wilms", "Hodgkin", "Gleason", "Kerley", "Chilaiditi")


def describe_facts(entry: Mapping[str, Any], name_of: NameOf) -> str:
    """Some sentences; what is not known is not spoken of. ``entry`` has codes for terms."""
    return " ".join(_sentences(entry, name_of))


def _sentences(entry: Mapping[str, Any], name_of: NameOf) -> Iterator[str]:
    yield _say_content(entry, name_of)
    if findings := [name_of("label", code) for code in entry.get("labels", ())]:
        yield f"About: {join_words([_lower(name) for name in findings])}."
    if tasks := [name_of("task", code) for code in entry.get("task_types", ())]:
        yield f"Made for {join_words([_lower(name) for name in tasks])}."
    if entry.get("is_synthetic"):
        yield "The images are synthetic: they show no patient."
    if parts := entry.get("parts", ()):
        more = f", and {len(parts) - _MANY_PARTS} more" if len(parts) > _MANY_PARTS else ""
        yield f"Its parts: {'; '.join(parts[:_MANY_PARTS])}{more}."
    if entry.get("has_labels"):
        yield "Labels or annotations are published with the images."
    elif entry.get("has_labels") is False:
        yield "No labels are published with the images, as far as is known."
    yield from _say_origin(entry)
    if entry.get("is_unconfirmed"):
        yield "Only a survey tells of it: nothing confirms these facts."


def _say_content(entry: Mapping[str, Any], name_of: NameOf) -> str:
    modalities = [name_of("modality", code) for code in entry.get("modalities", ())]
    what = join_words([modalities[0], *map(_lower, modalities[1:])]) if modalities else "Images"
    codes = [entry.get("area", ""), *entry.get("other_areas", ())]
    areas = [_name_area(code, name_of) for code in codes if code and code != _NO_AREA]
    of = f" of {join_words(areas)}" if areas else ""
    return f"{what}{of}{_say_dimensions(entry)}{_say_number(entry)}."


def _name_area(code: str, name_of: NameOf) -> str:
    return _AREAS.get(code) or f"the {_lower(name_of('area', code))}"


def _say_dimensions(entry: Mapping[str, Any]) -> str:
    given = entry.get("dimensions", ())
    still = [Dimension(each).label for each in given if each != Dimension.VIDEO]
    said = [f"in {join_words(still)}"] if still else []
    if Dimension.VIDEO in given:
        said.append("as video")
    return f", {join_words(said)}" if said else ""


def _say_number(entry: Mapping[str, Any]) -> str:
    if not (number := entry.get("num_images")):
        return ""
    unit = entry.get("sample_unit")
    what = str(SampleUnit(unit).label) if unit else "samples (images, scans or patients)"
    if number == 1:
        what = str(SampleUnit(unit).value) if unit else "sample (an image, a scan or a patient)"
    about = "about " if entry.get("is_num_rounded") else ""
    return f": {about}{number:,} {what}"


def _say_origin(entry: Mapping[str, Any]) -> Iterator[str]:
    host = find_host(entry.get("source_url", ""))
    where = "" if host in (OWN, UNKNOWN_HOST) else f" at {host.name_in_sentence}"
    if year := entry.get("year"):
        yield f"First published in {year}{where}."
    elif where:
        yield f"Published{where}."
    if access := entry.get("access"):
        yield _ACCESS[Access(access)]


def join_words(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    words = list(dict.fromkeys(words))
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def _lower(name: str) -> str:
    """A name within a sentence: acronyms and names of people keep their capitals."""
    first = name.split(maxsplit=1)[0]
    if first[1:] != first[1:].lower() or first in _PEOPLE or "'" in first:
        return name
    return name[0].lower() + name[1:]
