"""The labels that an import adds to the vocabulary: at its end, so that nobody waits for them."""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import QuerySet

from vocab.lookup import current_vocabularies
from vocab.models import Label, LabelAlias
from vocab.text import label_keys, normalize, normalize_label

_CODE_LENGTH: int = Label._meta.get_field("code").max_length or 0
_NOT_CODE = re.compile(r"[^a-z0-9]+")
# What signs are called in codes, so that these tell "HER2+" from "HER2-".
_SIGN_WORDS = {
    "+": "-plus-", "−": "-minus-", "±": "-plus-minus-", "?": "-uncertain-", "~": "-about-",
    "<": "-below-", ">": "-above-", "≤": "-at-most-", "≥": "-at-least-",
}  # fmt: skip
# Only one importer at a time adds labels, so that two do not add the same.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('new labels', 0))"
_RESERVE = "SELECT nextval(pg_get_serial_sequence('vocab_label', 'id'))"


@dataclass(frozen=True, slots=True)
class KnownLabel:
    """A label, and the finding that the word itself states; '' if it states none."""

    id: int
    name: str
    finding: str = ""


class OtherLabel(NamedTuple):
    """The label that somebody has added meanwhile: its id instead of the reserved one.

    ``word`` is the import's own word, unless it is just the name of that label.
    """

    reserved: int
    id: int
    word: str | None


class NewLabels:
    """Labels with reserved ids, which nobody else sees, or waits for, until they are saved."""

    def __init__(self) -> None:
        self._labels: dict[str, KnownLabel] = {}

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, key: str, name: str) -> KnownLabel:
        """A label to be saved; ``key`` is the normal form of its name."""
        with connection.cursor() as cursor:
            cursor.execute(_RESERVE)
            label = self._labels[key] = KnownLabel(cursor.fetchone()[0], name)
        return label

    def save(self) -> list[OtherLabel]:
        """Add them as inactive labels, except those that somebody has added meanwhile.

        This is a short transaction of its own. If the import fails afterwards, the labels wait for
        a curator all the same, and the next import uses them.
        """
        if not self._labels:
            return []
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_LOCK)
            hidden = load_hidden()
            found = {
                label: _find_other(label, hidden.get(key)) for key, label in self._labels.items()
            }
            for label in [each for each, other in found.items() if other is None]:
                code = _make_code(label.name)
                Label.objects.create(id=label.id, code=code, name=label.name, is_active=False)
        return [other for other in found.values() if other]

    def pretend(self) -> None:
        """For a transaction that is rolled back: add them under codes that nobody else adds."""
        Label.objects.bulk_create(
            Label(id=each.id, code=f"unsaved-{each.id}", name=each.name, is_active=False)
            for each in self._labels.values()
        )


def _find_other(label: KnownLabel, hidden: KnownLabel | None) -> OtherLabel | None:
    # Not an alias that holds in images of one area only: it has been looked at.
    terms = current_vocabularies().find_label(label.name, None)
    known = KnownLabel(terms[0].id, terms[0].name) if len(terms) == 1 else hidden
    if known is None:
        return None
    return OtherLabel(label.id, known.id, label.name if label.name != known.name else None)


def load_hidden() -> dict[str, KnownLabel]:
    """The inactive labels by normal form: codes win over names, names over aliases.

    Without aliases that hold in images of one area only: see ``load_hidden_in_areas``.
    """
    hidden: QuerySet = Label.objects.filter(is_active=False).order_by("-id")
    labels = {pk: (code, name) for pk, code, name in hidden.values_list("pk", "code", "name")}
    found: dict[str, KnownLabel] = {}
    aliases = LabelAlias.objects.filter(term__in=hidden, area=None)
    for term_id, text in aliases.values_list("term_id", "text"):
        found[normalize_label(text)] = KnownLabel(term_id, labels[term_id][1])
    for pk, (_, name) in labels.items():
        found[normalize_label(name)] = KnownLabel(pk, name)
    for pk, (code, name) in labels.items():
        for key in label_keys(code, name) - {normalize_label(name)}:
            found[key] = KnownLabel(pk, name)
    return found


def load_hidden_in_areas(area_ids: Collection[int]) -> dict[str, KnownLabel]:
    """The inactive labels by the normal forms of aliases that hold in one of these areas only.

    An alias of several is none.
    """
    found: dict[str, set[KnownLabel]] = {}
    aliases = LabelAlias.objects.filter(term__is_active=False, area__in=area_ids)
    for text, term_id, name in aliases.values_list("text", "term_id", "term__name"):
        found.setdefault(normalize_label(text), set()).add(KnownLabel(term_id, name))
    return {key: label for key, (label, *others) in found.items() if not others}


def _make_code(name: str) -> str:
    """A code that no label has, from a name; one without Latin letters gets a hash."""
    key = normalize(name)
    spelled = "".join(_SIGN_WORDS.get(char, char) for char in normalize_label(name))
    base = _NOT_CODE.sub("-", spelled).strip("-")[: _CODE_LENGTH - 4].strip("-")
    if not _NOT_CODE.sub("", key):
        base = f"label-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    taken = set(Label.objects.filter(code__startswith=base).values_list("code", flat=True))
    codes = (base, *(f"{base}-{number}" for number in range(2, 1000)))
    return next(code for code in codes if code not in taken)
