"""What the words of a collection's search meant when it was frozen, and what they mean now.

The filters of a collection are kept as the terms that they included, and mean the same for ever.
The words of its search are kept as typed, with what they were understood as. Asked again, they mean
what the vocabularies say today, and where that differs the page says so.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from catalog.search.filters import ImageFilterSet
from catalog.search.understanding import AS_EXCLUDED, AS_ID, AS_TEXT, understood_words
from collections_app.models import Collection
from collections_app.provenance_keys import UNDERSTOOD

Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChangedReading:
    """Words of a search whose meaning has changed; "" where they are no words of their own."""

    words: str
    then: str
    now: str


def search_of(collection: Collection) -> QueryDict:
    """The words of the collection's search as parameters."""
    params = QueryDict(mutable=True)
    params["q"] = collection.query_text
    return params


def find_changed_readings(collection: Collection) -> list[ChangedReading]:
    """The words that mean something else now; none where it was not recorded what they meant.

    It costs as much as a search of these words.
    """
    then = collection.provenance.get(UNDERSTOOD)
    if not then or not collection.query_text:
        return []
    filters = ImageFilterSet(search_of(collection))
    now = understood_words(filters)
    changed = []
    for words in dict.fromkeys(part["words"] for part in (*then, *now)):
        before, after = _pick(then, words), _pick(now, words)
        if list(map(_meaning, before)) != list(map(_meaning, after)):
            said = (" or ".join(_say(each, filters)) for each in (before, after))
            changed.append(ChangedReading(words, *said))
    return changed


def _pick(parts: Iterable[Part], words: str) -> list[Part]:
    return [part for part in parts if part["words"] == words]


def _meaning(part: Part) -> tuple[str, frozenset[str]]:
    return part["filter"], frozenset(part["codes"])


def _say(parts: Iterable[Part], filters: ImageFilterSet) -> Iterator[str]:
    """Each part by its filter and the names of all terms that it includes."""
    known = filters.snapshot.vocabularies.terms
    for part in parts:
        name = part["filter"]
        names = {ref.code: ref.name for ref in known.get(name, {}).values()}
        # Own names are those of the time; other terms are narrower ones, or have gone since.
        names |= dict(zip(part["codes"], part["names"], strict=False))
        said = ", ".join(names.get(code, code) for code in part["codes"])
        if name == AS_ID:
            yield "an id"
        elif name == AS_TEXT:
            yield "a word of the images’ own texts"
        elif name == AS_EXCLUDED:
            yield f"without {said or part['words']}"
        else:
            yield f"{filters.filters[name].label}: {said}" if name in filters.filters else said
