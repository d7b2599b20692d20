"""The query without some of its terms, so that the rest means what it meant beside them."""

from collections.abc import Collection, Iterable

from catalog.search.query.parsed import Match, ParsedQuery, Word
from catalog.search.query.parser import parse_query
from catalog.search.query.spellings import Spellings

Spans = Collection[tuple[int, int]]


def remove_matches(query: ParsedQuery, matches: Collection[Match], spellings: Spellings) -> str:
    """The query without the words of ``matches``.

    Where these words alone would change the rest, as in "a, b or c" without c, its parts are joined
    anew. If that does not help, all alternatives of ``matches`` are removed with them.
    """
    spans = {(match.start, match.end) for match in matches}
    wanted = _find_meaning(query, spans)
    # "With" parts what would be one name: "lung CT cancer" without CT.
    others = (_join_others(query, spans, joint) for joint in (" ", " with "))
    for text in (query.without(*matches), *others):
        if _find_meaning(parse_query(text, spellings)) == wanted:
            return text
    every = {m for group in query.groups if not spans.isdisjoint(_list_spans(group)) for m in group}
    if len(every) > len(spans):
        return remove_matches(query, every, spellings)
    return query.without(*matches)


def _join_others(query: ParsedQuery, spans: Spans, joint: str) -> str:
    """The words of the other parts, with "or" between those that it joins."""
    every = sorted(_list_spans((*query.matches, *query.words)))
    text, is_or = "", False
    for at, span in enumerate(every):
        is_or = is_or and (every[at - 1][0], span[0]) in query.ors
        if span not in spans:
            text += (" or " if is_or else joint if text else "") + query.text[slice(*span)]
            is_or = True
    return text


def _list_spans(parts: Iterable[Match | Word]) -> set[tuple[int, int]]:
    return {(part.start, part.end) for part in parts}


def _find_meaning(query: ParsedQuery, without: Spans = ()) -> object:
    """What is asked for, in groups of alternatives, and what is excluded or skipped."""
    groups = [
        [f"{match.name} {match.codes} {match.excluded}" for match in group
         if (match.start, match.end) not in without]
        for group in query.groups
    ]  # fmt: skip
    words = [list(map(str, group)) for group in query.word_groups]
    excluded = [[str(word)] for word in query.words if word.is_excluded]
    skipped = [[query.text[start:end]] for start, end in query.skipped]
    return sorted(sorted(each) for each in (*groups, *words, *excluded, *skipped) if each)
