"""What a typed query was understood as, as a record that outlives the vocabularies."""

from typing import Any

from catalog.search.filters import CatalogFilterSet
from catalog.search.query import Word

# What a word is that names nothing else: an id, or one that datasets must not mention.
AS_ID, AS_EXCLUDED = "id", "excluded"


def understood_words(filters: CatalogFilterSet) -> list[dict[str, Any]]:
    """The parts of the query in its order, each with ``words`` as typed, ``filter`` and ``codes``.

    Any of the ``codes`` had to match, and any part of the same ``group``. ``corrected`` is there if
    the words had a typo. A word without a meaning has ``filter`` "id" or "excluded" and no codes.
    """
    query = filters.parsed_query
    parts: list[tuple[int, dict[str, Any]]] = [
        (word.start, {"words": word.text, "filter": _role(word), "codes": [], "names": []})
        for word in query.words
    ]
    for number, group in enumerate(query.groups, 1):
        for match in group:
            part = {"words": match.words, "filter": match.name, "codes": match.codes,
                    "names": list(match.names), "group": number}  # fmt: skip
            corrected = {"corrected": match.corrected} if match.corrected else {}
            parts.append((match.start, part | corrected))
    return [part for _, part in sorted(parts, key=lambda each: each[0])]


def _role(word: Word) -> str:
    return AS_EXCLUDED if word.is_excluded else AS_ID
