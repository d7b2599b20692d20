"""Finds terms by code, name or alias."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from vocab.hierarchy import find_broader, find_narrower, find_related
from vocab.models import (
    AnatomicalArea,
    HierarchicalTerm,
    Label,
    LabelAlias,
    License,
    Modality,
    Tag,
    TaskType,
    Term,
    ViewPosition,
    VocabularyVersion,
)
from vocab.text import TermRef, label_keys, normalize, normalize_label, plain_keys, plain_label_keys

# The names of the vocabularies in URLs, stored filters and archives.
VOCABULARIES: Mapping[str, type[Term]] = {
    "modality": Modality,
    "area": AnatomicalArea,
    "label": Label,
    "view": ViewPosition,
    "task": TaskType,
    "license": License,
    "tag": Tag,
}
# Those whose terms can have broader ones.
HIERARCHIES = frozenset(
    name for name, model in VOCABULARIES.items() if issubclass(model, HierarchicalTerm)
)


class AreaMeaning(NamedTuple):
    """What a spelling means in images of an area only; ``area`` is its name."""

    area_id: int
    area: str
    label: TermRef


def join_meanings(meanings: Iterable[AreaMeaning]) -> str:
    """In words: “Pulmonary edema in images of Lung”."""
    return " or ".join(f"{each.label.name} in images of {each.area}" for each in meanings)


@dataclass(frozen=True, slots=True)
class Vocabularies:
    """All active terms and their spellings at one version; immutable.

    ``terms`` maps a vocabulary's name to its terms by id; ``spellings`` to terms by normal form.
    ``labels`` are the labels by their own normal form, which keeps signs; ``labels_anywhere`` the
    same without the aliases that hold in images of one area only, which are in ``labels_in_areas``.
    ``related_areas`` maps the id of each area to those of itself, of what it is part of, and of its
    parts. ``broader`` maps the name of each hierarchy to the nearest broader terms by id,
    ``commercial`` are the licences that permit commercial use, and ``kinds`` are those of
    modalities by id, inactive ones too.
    """

    version: int
    terms: Mapping[str, Mapping[int, TermRef]]
    spellings: Mapping[str, Mapping[str, list[TermRef]]]
    labels: Mapping[str, list[TermRef]]
    labels_anywhere: Mapping[str, list[TermRef]]
    labels_in_areas: Mapping[str, list[AreaMeaning]]
    related_areas: Mapping[int, frozenset[int]]
    commercial: tuple[TermRef, ...]
    broader: Mapping[str, Mapping[int, TermRef]]
    kinds: Mapping[int, str]

    def find(self, vocabulary: str, words: Iterable[str]) -> dict[str, list[TermRef]]:
        """For each word the list of terms that it means in one vocabulary, which may be empty.

        A code wins over a name, a name over an alias.
        """
        is_label = vocabulary == "label"
        spellings = self.labels if is_label else self.spellings[vocabulary]
        make_key = normalize_label if is_label else normalize
        codes = {ref.code: ref for ref in self.terms[vocabulary].values()}
        return {
            word: [codes[word]] if word in codes else spellings.get(make_key(word), [])
            for word in words
        }

    def find_label(self, word: str, area_id: int | None) -> list[TermRef]:
        """The labels that a word means in images of an area; None if their area is not known.

        An alias that holds in such images wins over codes and names; if several do, none is meant.
        """
        related = self.related_areas.get(area_id, ()) if area_id else ()
        meant = {each.label for each in self.meanings_in_areas(word) if each.area_id in related}
        if len(meant) == 1:
            return [*meant]
        code = next((ref for ref in self.terms["label"].values() if ref.code == word), None)
        return [code] if code else self.labels_anywhere.get(normalize_label(word), [])

    def meanings_in_areas(self, word: str) -> list[AreaMeaning]:
        """What a word means as an alias that holds in images of one area only."""
        return self.labels_in_areas.get(normalize_label(word), [])

    def all_spellings(self) -> dict[str, list[TermRef]]:
        """From normal forms to terms of all vocabularies, in the order of the vocabularies."""
        merged: dict[str, list[TermRef]] = {}
        for spellings in self.spellings.values():
            for key, refs in spellings.items():
                merged.setdefault(key, []).extend(refs)
        return merged


def read_version() -> int:
    """The version number of the vocabularies, which rises with every visible change."""
    return VocabularyVersion.objects.values_list("version", flat=True).first() or 0


def current_vocabularies() -> Vocabularies:
    """All vocabularies as they are now; costs one small query when nothing has changed."""
    version = read_version()
    cached = _cache.get("vocabularies")
    if cached is None or cached.version != version:
        cached = _cache["vocabularies"] = _load(version)
    return cached


# Always replaced as a whole, so threads need no lock.
_cache: dict[str, Vocabularies] = {}


def _load(version: int) -> Vocabularies:
    # The version was read first, so a later change gives a higher one.
    terms = {name: _load_terms(name) for name in VOCABULARIES}
    parents = {name: _load_parents(name) for name in HIERARCHIES}
    terms |= {name: _add_narrower(terms[name], parents[name]) for name in HIERARCHIES}
    spellings = {
        name: _load_spellings(
            name,
            terms[name],
            name_keys=plain_label_keys if name == "label" else plain_keys,
            make_key=normalize,
        )
        for name in VOCABULARIES
    }
    labels = _load_spellings(
        "label", terms["label"], name_keys=label_keys, make_key=normalize_label
    )
    anywhere = _load_spellings(
        "label", terms["label"], name_keys=label_keys, make_key=normalize_label, area=None
    )
    allowing = License.objects.active().filter(allows_commercial_use=True)
    ids = set(allowing.values_list("pk", flat=True))
    commercial = tuple(ref for pk, ref in terms["license"].items() if pk in ids)
    broader = {name: _refer_to_broader(terms[name], parents[name]) for name in HIERARCHIES}
    kinds = dict(Modality.objects.order_by().values_list("pk", "kind"))
    return Vocabularies(
        version,
        terms,
        spellings,
        labels,
        labels_anywhere=anywhere,
        labels_in_areas=_load_labels_in_areas(terms["label"]),
        related_areas=find_related(parents["area"]),
        commercial=commercial,
        broader=broader,
        kinds=kinds,
    )


def find_terms(vocabulary: str, words: Iterable[str]) -> dict[str, list[TermRef]]:
    """``Vocabularies.find`` in the current vocabularies."""
    return current_vocabularies().find(vocabulary, words)


def _load_terms(vocabulary: str) -> dict[int, TermRef]:
    model: Any = VOCABULARIES[vocabulary]
    rows = model._default_manager.filter(is_active=True).values_list("id", "code", "name")
    return {pk: TermRef(vocabulary, pk, code, name) for pk, code, name in rows}


def _load_parents(vocabulary: str) -> dict[int, int | None]:
    """The broader term of every term, inactive ones too."""
    model: Any = VOCABULARIES[vocabulary]
    return dict(model._default_manager.order_by().values_list("id", "broader_id"))


def _add_narrower(
    refs: Mapping[int, TermRef], parents: Mapping[int, int | None]
) -> dict[int, TermRef]:
    narrower = find_narrower(parents, refs)  # in the order of names, as the terms are
    return {pk: replace(ref, narrower=tuple(refs[each] for each in narrower[pk]))
            for pk, ref in refs.items()}  # fmt: skip


def _refer_to_broader(
    refs: Mapping[int, TermRef], parents: Mapping[int, int | None]
) -> dict[int, TermRef]:
    return {pk: refs[above] for pk, above in find_broader(parents, refs).items()}


def _load_spellings(
    vocabulary: str,
    refs: Mapping[int, TermRef],
    *,
    name_keys: Callable[[str, str], set[str]],
    make_key: Callable[[str], str],
    **chosen: Any,
) -> dict[str, list[TermRef]]:
    """``chosen`` filters the aliases."""
    model: Any = VOCABULARIES[vocabulary]
    names: dict[str, list[TermRef]] = {}
    for ref in refs.values():
        for key in name_keys(ref.code, ref.name):
            names.setdefault(key, []).append(ref)
    others: dict[str, dict[TermRef, None]] = {}
    aliases = model._meta.get_field("aliases").related_model._default_manager
    for term_id, text in aliases.filter(**chosen).order_by("id").values_list("term_id", "text"):
        if term_id in refs:
            others.setdefault(make_key(text), {})[refs[term_id]] = None
    return {key: list(found) for key, found in others.items()} | names


def _load_labels_in_areas(refs: Mapping[int, TermRef]) -> dict[str, list[AreaMeaning]]:
    found: dict[str, list[AreaMeaning]] = {}
    aliases = LabelAlias.objects.filter(area__isnull=False).order_by("id")
    for text, term_id, area_id, area in aliases.values_list(
        "text", "term_id", "area_id", "area__name"
    ):
        if term_id in refs:
            meaning = AreaMeaning(area_id, area, refs[term_id])
            found.setdefault(normalize_label(text), []).append(meaning)
    return found
