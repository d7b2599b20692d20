"""What a query may not mean as it is read: sentences for its user. Django-free."""

import re
from collections.abc import Container, Iterator, Sequence
from itertools import pairwise, zip_longest

from catalog.search.query.parsed import SINGLE_VALUED, Match, ParsedQuery, Word
from catalog.search.query.phrases import AFTER_NEGATION, NEGATIONS, STOP_WORDS
from catalog.search.query.tokens import MINUS_SIGNS, QUOTED

_SIGNS = rf"[{MINUS_SIGNS}]"
# Signs before a word or its brackets or quotes; a dash between words has spaces around it.
_UNREAD = re.compile(
    rf"(?:^|(?<![\w)\]}}])){_SIGNS}+=?(?:\s?[(\[{{]\W*|['‘’“\"]+)?$|(?:!=|<>|≠|~)\s*$"
    r"|(?<=\s)[!¬]+\s+$"
    # And with words between that name nothing: "-images with ct".
    rf"|(?:^|(?<=[\s,;(])){_SIGNS}(?:(?:{'|'.join(sorted(STOP_WORDS))})\b[\s:=]*)+$",
    re.IGNORECASE,
)
# As a table says it: "nodule=no", "tumor: none", "NOT:ct". Of "nodule: no mass" the mass is.
_VALUE = r"(?:none|no|not|false|absent|negative|neg|0)(?![\w.%/-])"
_UNREAD_VALUE = re.compile(
    rf"[^\s,;:=\"]+(?:[:=]+{_VALUE}|\s?[:=]+\s{_VALUE}(?!\s*\w))"
    r"|(?<!\S)(?:no|not|without|except|excluding)[:=]+[^\W\d]\w*",
    re.IGNORECASE,
)
_UNEQUAL = re.compile(r"!=|<>|≠")
_LISTED = re.compile(
    r"\s*+(?:[,;&+/]|[,;]?\s*+\b(?:and|n?or)\b)\s*+"
    rf"(?:(?:{'|'.join(sorted(AFTER_NEGATION))})\s++)*+",
    re.IGNORECASE,
)
_NEGATION_WORDS = frozenset({words[0] for words in NEGATIONS if len(words) == 1})
_NUMBER_WITH_SIGNS = r"\d[\d,.]*(?:\s\d{3})*\s?[km]?"
_COUNT = re.compile(
    rf"(?:(?:(?:more|less|fewer|larger|bigger|smaller)\s+than|over|under|above|below|max|min"
    rf"|at\s+(?:least|most)|(?:mini|maxi)mum(?:\s+of)?|between\s+{_NUMBER_WITH_SIGNS}\s+and|[<>≤≥]=?)"
    rf"\s*{_NUMBER_WITH_SIGNS}\s*|{_NUMBER_WITH_SIGNS}(?:\s?\+|\s?(?:[-–]|\bto\b)\s?{_NUMBER_WITH_SIGNS})\s*)"
    r"(?:[a-z-]+\s+){0,2}(?:images?|pictures|patients?|subjects|people|participants|cases|scans|exams"
    r"|studies|series|slices|volumes|videos|frames|samples|x-?rays|radiographs|classes|[gmt]i?b)\b",
    re.IGNORECASE,
)
# "Cancer" is a finding where it is negated, and a tag where it is wanted; so are "children".
_DISEASES, _PEOPLE = frozenset({"label", "tag"}), frozenset({"sex", "age", "tag"})
# Labels of segmentations that are areas, too: of "no liver or kidney" only one is a label.
_ORGANS = frozenset({"bladder", "heart", "liver", "pancreas", "spleen"})
# Behind what is asked for these say that it is not there: "fracture not seen".
_STATES = frozenset({
    "allowed", "annotated", "applicable", "available", "confirmed", "contained", "desired",
    "detected", "evident", "existing", "found", "given", "identified", "included", "known",
    "labeled", "labelled", "necessary", "needed", "noted", "observed", "permitted", "present",
    "provided", "required", "reported", "seen", "shown", "stated", "used", "visible", "wanted",
})  # fmt: skip
_IS = re.compile(r"\s+(?:(?:is|are|was|were|be|been|has|have)\s+)*", re.IGNORECASE)
_CONJUNCTIONS = frozenset({"but", "only", "then", *_NEGATION_WORDS})
# "All CT but", and not "all but CT", which negates.
_ALL_BUT = re.compile(
    r"\b(?:all|any|every\w*)(?:\s+[\w-]+){1,3}\s+but\b(?!\s+(?:not|no|without|only))", re.IGNORECASE
)
# Acute lymphoblastic leukemia, where other words are small.
_ALL = re.compile(r"(?<![\w-])ALL(?![\w-])")
_CONTRACTION = re.compile(r"n['’]t$")
_YEAR = re.compile(r"(?:19|20)\d\d")
# "Patient no 5", and not a year.
_NUMBER = re.compile(r"(?!(?:19|20)\d\d\b)\d+")
# Of findings, as "COVID-" or "effusion (+)", and "T2*"; a number with a plus compares.
_POLE = r"(?:[-+±−–*]|\(\s*[-+±−–]\s*\))"
_SIGN_BEHIND = re.compile(
    rf"(?:(?<!\d)(?<!\d[km])|(?<=[a-z])\d+|(?<=[a-z]-)\d+){_POLE}\s*$", re.IGNORECASE
)
# Not of "pre- and postoperative" and "(semi-)automatic".
_GLUED_SIGN = re.compile(
    rf"(?:\s(?=\())?{_POLE}(?<!-(?=\s+(?:and|or|to)\b))(?![^\s,;/)]|\)\w)", re.IGNORECASE
)
# What may stand between a part and the "only" that is said of it.
_WHAT = re.compile(
    r"[\s-]*((cases?|data|datasets?|exams?|images?|patients?|pictures?|scans?|series|slides?|stud(y|ies)"
    r"|subjects?)\s*)?",
    re.IGNORECASE,
)
_ONLY = re.compile(r"\bonly\b", re.IGNORECASE)
_COMPARISON = re.compile(r"(?P<sign>[<>≤≥]=?\s*)\d+(?:[.,]\d+)*[\w%]*|(?<![\w.+-])\d+\+(?![\w+])")
# What a dataset has one of: with them "only" asks for no more than the word.
_ONE_EACH = frozenset({"access", "dataset", "license", "local", "year"})


def list_doubts(query: ParsedQuery, *, is_of_images: bool, ignored: Sequence[Match]) -> list[str]:
    """A sentence for each sign and word that exclude nothing, and each list of which one does.

    ``ignored`` are parts of the query that the page says something else of.
    """
    parts: list[Match | Word] = [*query.matches, *query.words]
    parts.sort(key=lambda part: part.start)
    if query.text and not (parts or ignored or query.skipped):
        return [f"“{query.text}” asks for nothing"]
    return [
        *_find_unread_signs(query.text, parts),
        *_find_unread_negations(query.text, parts),
        *_find_unread_values(query.text, parts),
        *_find_half_negated(query.text, parts),
        *_find_contradictions(query.text, parts),
        *_find_negated_states(query.text, parts),
        *_find_lost_signs(query),
        *_find_counts(query.text),
        *_find_comparisons(query.text, parts, ignored),
        *_find_only(query.text, parts, SINGLE_VALUED if is_of_images else _ONE_EACH),
        *_find_all_but(query.text),
        *_find_leukemia(query.text, parts),
        *(f"“{query.text[start:end]}” asks for nothing" for start, end in query.skipped),
    ]


def _find_unread_signs(text: str, parts: list[Match | Word]) -> Iterator[str]:
    end = 0
    for part in parts:
        found = _UNREAD.search(text, end, part.start)
        is_unequal = isinstance(part, Match) and _UNEQUAL.search(text, part.start, part.end)
        if (found or is_unequal) and not _is_excluded(part):
            yield (
                f"“{text[found.start() if found else part.start : part.end]}” excludes nothing: "
                "put one minus directly before each word that is to be excluded"
            )
        end = part.end


def _find_unread_negations(text: str, parts: list[Match | Word]) -> Iterator[str]:
    for part, following in zip_longest(parts, parts[1:]):
        if not isinstance(part, Word) or part.is_excluded or part.is_quoted:
            continue
        word = part.text.casefold()
        if word not in _NEGATION_WORDS and not _CONTRACTION.search(word):
            continue
        is_counted = following and _NUMBER.fullmatch(text, following.start, following.end)
        if word == "no" and is_counted:
            continue
        end = following.end if following else part.end
        yield (
            f"“{text[part.start : end]}” excludes nothing: put a minus directly before each word "
            "that is to be excluded"
        )


def _find_unread_values(text: str, parts: list[Match | Word]) -> Iterator[str]:
    quoted = [found.span() for found in QUOTED.finditer(text)]
    for found in _UNREAD_VALUE.finditer(text):
        is_read = any(part.start <= found.start() and found.end() <= part.end
                      for part in parts if isinstance(part, Match) or part.is_excluded)  # fmt: skip
        if not is_read and not _is_within(found.start(), quoted):
            yield (
                f"“{found[0]}” excludes nothing: put a minus directly before each word that is to "
                "be excluded"
            )


def _find_half_negated(text: str, parts: list[Match | Word]) -> Iterator[str]:
    for one, other in pairwise(parts):
        if not (_is_excluded(one) or _is_negative(one)) or _is_excluded(other):
            continue
        # A quotation begins behind its minus.
        if "-" in text[max(one.start - 1, 0) : one.start + 1]:
            continue
        is_listed = _is_alike(one, other) and _LISTED.fullmatch(text, one.end, other.start)
        between = text[one.end : other.start]
        is_near = not between.strip() or _says_of(one, between)
        if is_listed or (_is_one_thing(one, other) and is_near):
            yield (
                f"“{text[one.start : one.end]}” excludes that only, and "
                f"“{text[other.start : other.end]}” is asked for: to exclude both, put “not” "
                "before each"
            )


def _find_negated_states(text: str, parts: list[Match | Word]) -> Iterator[str]:
    for part, state in pairwise(parts):
        if (
            isinstance(state, Word)
            and state.is_excluded
            and not state.is_quoted
            and state.text.casefold() in _STATES
            and not _is_excluded(part)
            and _IS.fullmatch(text, part.end, state.start)
        ):
            yield (
                f"“{text[state.start : state.end]}” excludes the word “{state.text}” only, and "
                f"“{text[part.start : part.end]}” is asked for: to exclude that, put “no” before it"
            )


def _find_lost_signs(query: ParsedQuery) -> Iterator[str]:
    for word in query.words:
        behind = _GLUED_SIGN.match(query.text, word.end)
        typed = query.text[word.start : behind.end()] if behind else word.text
        if _SIGN_BEHIND.search(typed):
            yield f"“{typed}”: its sign is not looked for"


def _says_of(one: Match | Word, between: str) -> bool:
    """Whether a word that names nothing may say something of what follows: "not based on CT"."""
    return (
        isinstance(one, Word)
        and not (one.filter_name or one.is_quoted)
        and (AFTER_NEGATION | STOP_WORDS).issuperset(between.casefold().split())
    )


def _find_contradictions(text: str, parts: list[Match | Word]) -> Iterator[str]:
    """What is asked for and excluded, as "pneumonia vs no pneumonia" names two classes."""
    wanted = {name: part for part in parts if not _is_excluded(part) for name in _list_asked(part)}
    for part in filter(_is_excluded, parts):
        if other := next((wanted[name] for name in _list_asked(part) if name in wanted), None):
            yield (
                f"“{text[other.start : other.end]}” is asked for and "
                f"“{text[part.start : part.end]}” excludes it: search for one after the other"
            )


def _list_asked(part: Match | Word) -> list[object]:
    """What a part asks for or excludes: labels, or a word."""
    if isinstance(part, Word):
        return [part.text.casefold()]
    return list(part.values) if part.name in ("label", "not_label") else []


def _find_counts(text: str) -> Iterator[str]:
    for found in _COUNT.finditer(text):
        yield (
            f"“{found[0]}” compares no numbers, its words are looked for: on the page of datasets, "
            "filter by “Size”, or sort by images"
        )


def _find_comparisons(
    text: str, parts: list[Match | Word], ignored: Sequence[Match]
) -> Iterator[str]:
    """Signs that no age and no year has taken, and of which the number is looked for."""
    counts = [found.span() for found in _COUNT.finditer(text)]
    taken = [
        (part.start, part.end)
        for part in parts
        if isinstance(part, Match) and part.name in ("age", "year")
    ]
    taken += [(match.start, match.end) for match in ignored]
    taken += [found.span() for found in QUOTED.finditer(text)]
    for found in _COMPARISON.finditer(text):
        is_label = not found["sign"] and _is_within(found.start(), _spans_of_matches(parts))
        if is_label or _is_within(found.start(), [*counts, *taken]):
            continue
        yield f"“{found[0]}” compares nothing, its words are looked for as they stand"


def _spans_of_matches(parts: list[Match | Word]) -> list[tuple[int, int]]:
    return [(part.start, part.end) for part in parts if isinstance(part, Match)]


def _is_within(at: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(start <= at < end for start, end in spans)


def _find_only(text: str, parts: list[Match | Word], one_each: Container[str]) -> Iterator[str]:
    """Beside what an image or a dataset may have more of: "CT only", "only pneumonia"."""
    spans = [(part.start, part.end) for part in parts]
    for found in _ONLY.finditer(text):
        if _is_within(found.start(), spans):
            continue
        before = [
            part
            for part in parts
            if part.end <= found.start() and _WHAT.fullmatch(text, part.end, found.start())
        ]
        after = [part for part in parts if part.start > found.start()]
        near = [*before[-1:], *after[:1]]
        if near and (isinstance(near[0], Word) or near[0].name not in one_each):
            yield "“only” leaves nothing out: what has more than that is listed, too"


def _find_all_but(text: str) -> Iterator[str]:
    if _ALL_BUT.search(text):
        yield "“but” excludes nothing: put a minus directly before each word that is to be excluded"


def _find_leukemia(text: str, parts: list[Match | Word]) -> Iterator[str]:
    spans = [(part.start, part.end) for part in parts]
    found = _ALL.search(text)
    if found and not text.isupper() and not _is_within(found.start(), spans):
        yield "“ALL” is read as a common word, and not looked for: write it out"


def _is_alike(one: Match | Word, other: Match | Word) -> bool:
    """Whether a list may have both, of which the first is excluded."""
    name = _find_filter(one)
    if name == "year":
        # Two filters of years say by their names what they leave.
        return isinstance(other, Word) and bool(_YEAR.fullmatch(other.text))
    # "Not kaggle, tcia", "no pneumonia, bleeding": only one of them may have a name here.
    if isinstance(other, Word) and not other.filter_name:
        return True
    both = {name, _find_filter(other)}
    if both == {"label", "area"}:
        values = one.values if isinstance(one, Match) else ()
        return not _ORGANS.isdisjoint(getattr(value, "code", "") for value in values)
    return not name or len(both) == 1 or both <= _DISEASES or both <= _PEOPLE


def _find_filter(part: Match | Word) -> str:
    """The filter of which it excludes a value; empty for words that name none."""
    if isinstance(part, Word):
        return part.filter_name
    return "label" if part.name == "not_label" else part.name


def _is_negative(part: Match | Word) -> bool:
    """Whether it is a label that says of something that it is not there: "no tumor"."""
    return (
        isinstance(part, Match)
        and part.name == "label"
        and part.words.split()[0].casefold() in _NEGATION_WORDS
    )


def _is_one_thing(one: Match | Word, other: Match | Word) -> bool:
    """Whether both may be meant together: "no women over 60", "no skin cancer"."""
    if _find_filter(one) == "year":
        return False
    if isinstance(other, Word):
        return not other.is_quoted and other.text.casefold() not in _CONJUNCTIONS
    return _find_filter(one) != "label" or other.name in _DISEASES


def _is_excluded(part: Match | Word) -> bool:
    if isinstance(part, Word):
        return part.is_excluded
    return part.name == "not_label" or bool(part.excluded)
