"""What a typed query was understood as: chips that can be undone, and a record for archives."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.http import QueryDict

from catalog.search.filter_choices import name_years
from catalog.search.filters import CatalogFilterSet, DatasetFilterSet, ImageFilterSet
from catalog.search.full_text import Stems
from catalog.search.query import Match, Word
from catalog.search.query_strings import canonical_params, with_query
from catalog.search.relevance import excludes_fact, find_excluded_terms
from vocab.text import TermRef

# What a word is that names nothing else: an id, one of the images' own texts, or one that datasets
# must not mention.
AS_ID, AS_TEXT, AS_EXCLUDED = "id", "text", "excluded"


def understood_words(filters: CatalogFilterSet) -> list[dict[str, Any]]:
    """The parts of the query in its order, each with ``words`` as typed, ``filter`` and ``codes``.

    Any of the ``codes`` had to match, and any part of the same ``group``; narrower terms are among
    them. ``corrected`` is there if the words had a typo. A word without a meaning has ``filter``
    "id", "text" or "excluded" and no codes; an excluded word with codes is about these.
    """
    query = filters.parsed_query
    word_groups = filters.word_groups if isinstance(filters, ImageFilterSet) else []
    numbers = {word: number for number, group in enumerate(word_groups, len(query.groups) + 1)
               for word in group}  # fmt: skip
    parts: list[tuple[int, dict[str, Any]]] = [
        (word.start, _describe_word(word, filters) | _number(word, numbers)) for word in query.words
    ]
    for number, group in enumerate(query.groups, 1):
        for match in group:
            part = {"words": match.words, "filter": match.name, "codes": _list_codes(match),
                    "names": list(match.names), "group": number}  # fmt: skip
            corrected = {"corrected": match.corrected} if match.corrected else {}
            parts.append((match.start, part | corrected))
    return [part for _, part in sorted(parts, key=lambda each: each[0])]


def _number(word: Word, numbers: Mapping[Word, int]) -> dict[str, int]:
    return {"group": numbers[word]} if word in numbers else {}


def _describe_word(word: Word, filters: CatalogFilterSet) -> dict[str, Any]:
    terms = find_excluded_terms(word, filters.snapshot) if word.is_excluded else []
    return {
        "words": word.text,
        "filter": _name_use(word, filters),
        "codes": [code for match in terms for code in _list_codes(match)],
        "names": [name for match in terms for name in match.names],
    }


def _name_use(word: Word, filters: CatalogFilterSet) -> str:
    if word.is_excluded:
        return AS_EXCLUDED
    is_text = isinstance(filters, ImageFilterSet) and filters.words.is_in_texts(word)
    return AS_TEXT if is_text else AS_ID


def _list_codes(match: Match) -> list[str]:
    """The codes of a match's values, with those of narrower terms."""
    terms = [value for value in match.values if isinstance(value, TermRef)]
    narrower = [each.code for term in terms for each in term.narrower]
    return list(dict.fromkeys([*match.codes, *narrower]))


@dataclass(frozen=True)
class Understood:
    """Words of the query that became a filter, and the query strings that undo it.

    ``before`` and ``after`` join it to its neighbours: "and (", "or", ")". The query strings are
    made where they are asked for, as each reads the query anew.
    """

    title: str
    text: str
    words: str
    is_corrected: bool
    is_excluded: bool
    name: str
    before: str
    after: str
    match: Match = field(repr=False)
    filters: CatalogFilterSet = field(repr=False)

    @cached_property
    def drop(self) -> str:
        """The query without the words."""
        rest = self.filters.query_without(self.match)
        return with_query(params_without(self.filters, self.match), rest)

    @cached_property
    def as_words(self) -> str:
        """The query that searches for the words as plain text."""
        text = self.filters.shown_query.as_text(self.match)
        return with_query(params_without(self.filters, self.match), text)

    @cached_property
    def alone(self) -> str:
        """The term without what is narrower in their place, if anything is narrower."""
        return _narrow(self.filters, self.match)


def describe_query(filters: CatalogFilterSet) -> list[Understood]:
    """The terms that the query names, as chips that can be undone; alternatives are neighbours."""
    groups = filters.shown_query.groups
    return [
        _describe_match(match, filters, *_join(groups, number, place))
        for number, group in enumerate(groups)
        for place, match in enumerate(group)
    ]


def _join(groups: Sequence[Sequence[Match]], number: int, place: int) -> tuple[str, str]:
    """What is written before and after a chip, so that it says which are alternatives."""
    has_brackets = len(groups) > 1 and len(groups[number]) > 1
    before = "or" if place else "and" if number else ""
    if has_brackets and place == 0:
        before = f"{before} (".strip()
    return before, ")" if has_brackets and place == len(groups[number]) - 1 else ""


def _describe_match(match: Match, filters: CatalogFilterSet, before: str, after: str) -> Understood:
    shown = filters.filters.get(match.name) or ImageFilterSet.base_filters[match.name]
    return Understood(
        title=str(shown.label),
        text=_name_values(match, filters),
        words=match.words,
        is_corrected=bool(match.corrected),
        is_excluded=bool(shown.exclude),
        name=match.names[0],
        before=before,
        after=after,
        match=match,
        filters=filters,
    )


def describe_excluded(filters: CatalogFilterSet) -> list[tuple[str, str]]:
    """The excluded words that are no filter, each with the terms that it names, if any."""
    excluded = [word for word in filters.shown_query.words if word.is_excluded]
    found = [(word.text, _name_terms(word, filters)) for word in excluded]
    if not isinstance(filters, ImageFilterSet):
        return found
    return [(text if terms else filters.words.show(text), terms) for text, terms in found]


def describe_excluded_stems(filters: CatalogFilterSet) -> list[str]:
    """What datasets' texts are looked through for to exclude them; never for facts, as licences."""
    texts = [
        word.text
        for word in filters.shown_query.words
        if word.is_excluded and not excludes_fact(word, filters.snapshot)
    ]
    return _list_stems(texts, filters.stems)


def describe_stems(filters: DatasetFilterSet) -> list[str]:
    """What datasets' texts are looked through for instead of words, which may end otherwise there.

    Among them are beginnings that are looked for, too.
    """
    texts = [word.text for word in filters.shown_query.words if not word.is_excluded]
    return sorted({*_list_stems(texts, filters.stems), *filters.results.roots})


def _list_stems(texts: Iterable[str], stems: Stems) -> list[str]:
    return sorted({stem for text in texts for stem in stems[text].values() if stem})


def describe_term_texts(filters: DatasetFilterSet) -> list[str]:
    """Texts as datasets' texts are looked through for them: each word as its stem."""
    shown = []
    for text in filters.results.term_texts:
        stems = filters.stems[text]
        words = (f"{stems[word]}…" if stems.get(word) else word for word in text.split())
        shown.append(" ".join(words))
    return list({text.casefold(): text for text in shown}.values())


def _name_terms(word: Word, filters: CatalogFilterSet) -> str:
    is_of_images = isinstance(filters, ImageFilterSet)
    terms = find_excluded_terms(word, filters.snapshot, of_datasets=not is_of_images)
    return "; ".join(f"{match.name}: {_name_values(match, filters)}" for match in terms)


def _narrow(filters: CatalogFilterSet, match: Match) -> str:
    """The query string with a filter by the term alone in the place of the words.

    Empty if nothing is narrower, or if the words are one of several alternatives.
    """
    ref = match.values[0]
    groups = filters.shown_query.groups
    is_single = len(match.values) == 1 and (match,) in groups
    if not (is_single and isinstance(ref, TermRef) and ref.narrower):
        return ""
    params = params_without(filters, match)
    params.appendlist(match.name, ref.alone().value)
    return with_query(params, filters.query_without(match))


def params_without(filters: CatalogFilterSet, match: Match) -> QueryDict:
    """The filters in force without the one that says the same as words of the query."""
    params = canonical_params(filters)
    if len(match.codes) == 1:
        values = [value for value in params.getlist(match.name) if value not in match.codes]
        params.setlist(match.name, values)
    return params


def is_understood(filters: CatalogFilterSet, name: str, value: str) -> bool:
    """Whether words of the query say the same as this filter, so that it need not be shown."""
    if name == "q":
        query = filters.shown_query
        return bool(query.matches) and not query.words and not filters.ignored_words
    return any(m.name == name and m.codes == [value] for m in filters.parsed_query.matches)


def say_label_groups(filters: CatalogFilterSet) -> str:
    """The labels that the query asks for, with "and" and "or" as they are in force."""
    groups = [group for group in filters.parsed_query.groups if group[0].name == "label"]
    return " and ".join(" or ".join(n for m in group for n in m.names) for group in groups)


def _name_values(match: Match, filters: CatalogFilterSet) -> str:
    if len(match.values) > 1 and set(match.values) == set(filters.snapshot.vocabularies.commercial):
        return "commercial use allowed"
    if match.name == "year":
        return name_years(match.codes)
    if len(match.values) == 1:
        return str(match.values[0]) if isinstance(match.values[0], TermRef) else match.names[0]
    notes = [value.note if isinstance(value, TermRef) else "" for value in match.values]
    named = zip(match.names, notes, strict=True)
    return " or ".join(f"{name} ({note})" if note else name for name, note in named)
