"""The aliases of one vocabulary while terms are loaded or imported.

Fields of terms come in, as files and ``shipped_json`` have them; aliases are added or removed.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError

from vocab.models import Alias, AnatomicalArea, LabelAlias, ModalityAlias
from vocab.text import label_keys, normalize, plain_keys


class Spelling(NamedTuple):
    """An alias, and the code of the area in whose images only it holds; '' for all images."""

    text: str
    area: str = ""


def read_spellings(fields: Mapping[str, Any]) -> list[Spelling]:
    """What a term's ``aliases`` and ``aliases_in`` say."""
    anywhere = [Spelling(text) for text in fields.get("aliases", ())]
    in_areas = fields.get("aliases_in", {})
    return anywhere + [Spelling(text, area) for area, texts in in_areas.items() for text in texts]


def has_areas(model: Any) -> bool:
    """Whether aliases of the vocabulary may hold in images of one area only."""
    return model._meta.get_field("aliases").related_model is LabelAlias


class Spellings:
    """The aliases of one vocabulary, in memory to save a query for each."""

    def __init__(self, model: Any) -> None:
        self._model: Any = model._meta.get_field("aliases").related_model
        self._areas: dict[str, AnatomicalArea] = {}
        fields = ["key", "text", "term__code"]
        if has_areas(model):
            self._areas = {area.code: area for area in AnatomicalArea.objects.all()}
            fields.append("area__code")
        self._new: list[Alias] = []
        # By normal form and area the codes of terms; only aliases of modalities may have several.
        self._codes: dict[tuple[str, str], list[str]] = {}
        for key, text, code, *areas in self._model._default_manager.values_list(*fields):
            for each in {key, self._model.make_key(text)}:  # an older key may lack signs
                self._codes.setdefault((each, "".join(filter(None, areas))), []).append(code)
        # What each term had at first.
        self._held = {(code, *place) for place, codes in self._codes.items() for code in codes}

    def add(self, term: Any, spellings: Iterable[Spelling], skipped: list[str]) -> bool:
        """Add the aliases that the term lacks; those of other terms are ``skipped``.

        Raises ValidationError for an invalid alias, or an area that there is not.
        """
        keys_of = label_keys if self._model is LabelAlias else plain_keys
        own = keys_of(term.code, term.name)
        count = len(self._new)
        for text, area in spellings:
            if area and area not in self._areas:
                raise ValidationError(
                    {"aliases_in": f"there is no area “{area}”. Write the code of an area."}
                )
            key = self._model.make_key(text)
            codes = self._codes.setdefault((key, area), [])
            if key in own or term.code in codes:
                continue
            if codes and self._model is not ModalityAlias:
                skipped.append(f"“{text}” for {term.code}: it already means {codes[0]}")
                continue
            if not normalize(text):
                raise ValidationError({"aliases": f"“{text}” has no letter or digit."})
            of_area = {"area": self._areas[area]} if area else {}
            alias = self._model(term=term, text=text, key=key, **of_area)
            alias.clean_fields(exclude=["term"])
            codes.append(term.code)
            self._new.append(alias)
        return len(self._new) > count

    def find_new(self, term: Any, shipped: Mapping[str, Any]) -> list[Spelling]:
        """The aliases that were not shipped for the term before, or for another area.

        Of one that a curator has removed, or given another area, none is new.
        """
        before: dict[str, set[str]] = {}
        for text, area in read_spellings(term.shipped_json):
            before.setdefault(self._model.make_key(text), set()).add(area)
        found = []
        for spelling in read_spellings(shipped):
            key = self._model.make_key(spelling.text)
            areas = before.get(key, set())
            is_kept = any((term.code, key, area) in self._held for area in areas)
            if not areas or (is_kept and spelling.area not in areas):
                found.append(spelling)
        return found

    def drop(self, term: Any, shipped: Mapping[str, Any]) -> bool:
        """Remove the aliases that were shipped for the term before and no longer are."""
        if term is None:
            return False
        kept = self._find_places(shipped)
        gone = self._find_places(term.shipped_json) - kept
        removed = 0
        for key, area in gone:
            if term.code in self._codes.get((key, area), ()):
                self._codes[key, area].remove(term.code)
            rows = self._model._default_manager.filter(term=term, key=key)
            if self._model is LabelAlias:
                rows = rows.filter(area__code=area) if area else rows.filter(area=None)
            removed += rows.delete()[0]
        return removed > 0

    def _find_places(self, fields: Mapping[str, Any]) -> set[tuple[str, str]]:
        return {(self._model.make_key(text), area) for text, area in read_spellings(fields)}

    def save(self) -> None:
        """Store the added aliases; their terms must have been saved."""
        self._model._default_manager.bulk_create(self._new)
