"""From what people type to terms: by code, by name, by alias."""

from collections.abc import Iterable, Mapping
from typing import Any

from vocab.models import AnatomicalArea, Label, License, Modality, Tag, TaskType, Term
from vocab.text import TermRef, normalize

# The names that the vocabularies go by in URLs, snapshots and archives.
VOCABULARIES: Mapping[str, type[Term]] = {
    "modality": Modality,
    "area": AnatomicalArea,
    "label": Label,
    "task": TaskType,
    "license": License,
    "tag": Tag,
}


def find_terms(vocabulary: str, words: Iterable[str]) -> dict[str, list[TermRef]]:
    """For each word the active terms that it means in one vocabulary; none: an empty list.

    A code wins over a name, a name over an alias.
    """
    wanted = list(words)
    spellings = _load_spellings(vocabulary) if wanted else {}
    codes = {ref.code: ref for refs in spellings.values() for ref in refs}
    return {
        word: [codes[word]] if word in codes else spellings.get(normalize(word), [])
        for word in wanted
    }


def load_spellings() -> dict[str, list[TermRef]]:
    """Every normal form of every active term, over all vocabularies, in their order above."""
    merged: dict[str, list[TermRef]] = {}
    for vocabulary in VOCABULARIES:
        for key, refs in _load_spellings(vocabulary).items():
            merged.setdefault(key, []).extend(refs)
    return merged


def _load_spellings(vocabulary: str) -> dict[str, list[TermRef]]:
    model: Any = VOCABULARIES[vocabulary]
    refs = {
        row["id"]: TermRef(vocabulary, **row)
        for row in model._default_manager.filter(is_active=True).values("id", "code", "name")
    }
    names: dict[str, list[TermRef]] = {}
    for ref in refs.values():
        for key in {normalize(ref.code), normalize(ref.name)}:
            names.setdefault(key, []).append(ref)
    others: dict[str, list[TermRef]] = {}
    aliases = model._meta.get_field("aliases").related_model._default_manager
    of_active = aliases.filter(term_id__in=refs).order_by("id")
    for term_id, key in of_active.values_list("term_id", "key"):
        others.setdefault(key, []).append(refs[term_id])
    return others | names
