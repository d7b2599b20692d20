"""Form fields for filters that may be repeated in a URL: ``?label=a&label=b``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from catalog.ages import clean_limit
from catalog.search.query import clean_text, count_words
from catalog.search.snapshot import Snapshot
from vocab.lookup import HIERARCHIES, VOCABULARIES
from vocab.text import ALONE, TermRef, normalize

MAX_VALUES = 200
MAX_VALUE = 300  # characters: more than any code, slug or alias has
MAX_QUERY_LENGTH = 300
# Each word may be an id, which must be looked for in each dataset.
MAX_QUERY_WORDS = 50
MAX_PICKED_IMAGES = 500


class RepeatedInput(forms.MultipleHiddenInput):
    """Reads all values of a repeated parameter, without empty ones, which forms send."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        return [value.strip() for value in data.getlist(name) if value.strip()]


class RepeatedField(forms.Field):
    """Several values, each of which must be valid; the filter set provides ``snapshot``."""

    widget = RepeatedInput
    snapshot: Snapshot

    def clean(self, value: Sequence[str] | None) -> Any:
        values = list(dict.fromkeys(value or ()))
        if any("\x00" in text for text in values):
            raise ValidationError("A value contains a character that is not allowed.")
        if any(len(text) > MAX_VALUE for text in values):
            raise ValidationError(f"A value has more than {MAX_VALUE} characters.")
        if len(values) > MAX_VALUES:
            raise ValidationError(f"Choose at most {MAX_VALUES} values.")
        return self.understand(values) if values else []

    def understand(self, values: list[str]) -> Any:
        raise NotImplementedError


class TermsField(RepeatedField):
    """Codes or other spellings of terms of one vocabulary; cleaned to a list of TermRef.

    ``~only`` after a spelling is the term without what is narrower.
    """

    def __init__(self, *, vocabulary: str, **kwargs: Any) -> None:
        self.vocabulary = vocabulary
        super().__init__(**kwargs)

    def understand(self, values: list[str]) -> list[TermRef]:
        ending = ALONE if self.vocabulary in HIERARCHIES else ""
        spellings = {value: value.removesuffix(ending) for value in values}
        terms_of = self.snapshot.vocabularies.find(self.vocabulary, spellings.values())
        found = {
            value: [term.alone() if spelling != value else term for term in terms_of[spelling]]
            for value, spelling in spellings.items()
        }
        if unknown := [value for value, terms in found.items() if not terms]:
            name = VOCABULARIES[self.vocabulary]._meta.verbose_name
            raise ValidationError(
                f"There is no {name} “{unknown[0][:60]}” in the catalog. "
                "Remove it, or choose one from the list."
            )
        return list(dict.fromkeys(term for terms in found.values() for term in terms))


class ChoicesField(RepeatedField):
    """Values from a fixed list; ``spellings`` are replaced by the values that they stand for.

    ``offered`` says what there is where the list is long.
    """

    def __init__(
        self,
        *,
        choices: Sequence[tuple[str, str]],
        what: str,
        spellings: Mapping[str, Sequence[str]],
        offered: str = "",
        **kwargs: Any,
    ) -> None:
        self.names = dict(choices)
        self.what = what
        self.offered = offered or ", ".join(self.names)
        self.spellings = spellings
        super().__init__(**kwargs)

    def understand(self, values: list[str]) -> list[str]:
        meant = [each for value in values for each in self.spellings.get(value, (value,))]
        for value in meant:
            if value not in self.names:
                raise ValidationError(
                    f"“{value[:60]}” is not {self.what}. Use one of: {self.offered}."
                )
        return list(dict.fromkeys(meant))


class DatasetsField(RepeatedField):
    """Slugs of active datasets; cleaned to a list of TermRef, as if datasets were a vocabulary."""

    def understand(self, values: list[str]) -> list[TermRef]:
        known = self.snapshot.refs
        for value in values:
            if value not in known:
                raise ValidationError(
                    f"There is no dataset “{value[:60]}” in the catalog. Remove it from the search."
                )
        return [known[value] for value in values]


class ImageIdsField(RepeatedField):
    """Ids of single images, repeated or separated by commas; cleaned to a sorted list of int."""

    def clean(self, value: Sequence[str] | None) -> list[int]:
        parts = {part.strip() for text in value or () for part in text.split(",")} - {""}
        for part in parts:
            if not (part.isascii() and part.isdigit() and len(part) <= 18):
                raise ValidationError(f"“{part[:60]}” is not the number of an image.")
        if len(parts) > MAX_PICKED_IMAGES:
            raise ValidationError(
                f"At most {MAX_PICKED_IMAGES} single images can be picked; use filters for more."
            )
        return sorted(int(part) for part in parts)


class AgeLimitField(RepeatedField):
    """One limit of an age; cleaned to its short form ("65", "6m"), empty if none is given."""

    def clean(self, value: Sequence[str] | None) -> str:
        values = list(value or ())
        if len(values) > 1:
            raise ValidationError("Give a single age.")
        try:
            return clean_limit(values[0]) if values else ""
        except ValueError as error:
            raise ValidationError(str(error)) from error


class SingleChoiceField(RepeatedField):
    """One value from a fixed list; cleaned to a string, empty if none is given."""

    def __init__(self, *, choices: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        self.names = dict(choices)
        super().__init__(**kwargs)

    def clean(self, value: Sequence[str] | None) -> str:
        values = list(value or ())
        if len(values) > 1 or (values and values[0] not in self.names):
            raise ValidationError(f"Use one of: {', '.join(self.names)}.")
        return values[0] if values else ""


def join_texts(texts: Iterable[str]) -> str:
    """What stands in all search boxes of an address, as one line."""
    return " ".join(" ".join(texts).split())


def read_query(text: str) -> str:
    """The line as its words are counted and looked for.

    Cut first, as one sign may stand for eighteen: what is too long is so in either form.
    """
    return clean_text(text[: MAX_QUERY_LENGTH + 1])


class QueryField(RepeatedField):
    """The search box; cleaned to one line of text."""

    widget = RepeatedInput

    def clean(self, value: Sequence[str] | None) -> str:
        text = join_texts(value or ())
        read = read_query(text)
        if (length := max(len(text), len(read))) > MAX_QUERY_LENGTH:
            raise ValidationError(
                f"The search has {length} characters (limit: {MAX_QUERY_LENGTH}). Shorten it."
            )
        if (number := count_words(read)) > MAX_QUERY_WORDS:
            raise ValidationError(
                f"The search has {number} words (limit: {MAX_QUERY_WORDS}). Shorten it."
            )
        if "\x00" in text:
            raise ValidationError("The search contains a character that cannot be searched for.")
        if text and not normalize(text):
            raise ValidationError("The search contains no word and no number.")
        return text
