"""Loading the shipped vocabularies without undoing a curator's work, and switching terms off."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction

from vocab.lookup import VOCABULARIES
from vocab.querysets import TermQuerySet
from vocab.signals import terms_changed
from vocab.text import normalize

DATA_DIR = Path(__file__).parent / "data"
SHIPPED_FILES: Mapping[str, str] = {
    "modality": "modalities.toml",
    "area": "areas.toml",
    "task": "task_types.toml",
    "tag": "tags.toml",
    "license": "licenses.toml",
    "label": "labels.toml",
}


@dataclass(slots=True)
class LoadReport:
    """What a load did, in numbers of terms; ``skipped`` says which aliases were left and why."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: list[str] = field(default_factory=list)


def load_shipped_vocabularies() -> dict[str, LoadReport]:
    """Load every vocabulary that comes with medagg; all of them or, on an error, none."""
    with transaction.atomic():
        reports = {
            name: load_terms(vocabulary=name, terms=_read_terms(DATA_DIR / file))
            for name, file in SHIPPED_FILES.items()
        }
    terms_changed.send(sender=None)
    return reports


def set_terms_active(*, terms: TermQuerySet, is_active: bool) -> int:
    """Show or hide terms everywhere; returns how many changed."""
    changed = terms.exclude(is_active=is_active).update(is_active=is_active)
    if changed:
        terms_changed.send(sender=terms.model)
    return changed


def load_terms(*, vocabulary: str, terms: Iterable[Mapping[str, Any]]) -> LoadReport:
    """Add missing terms and bring shipped ones up to date.

    A field or alias that a curator changed, added or removed stays as the curator left it.
    ``terms`` are mappings with ``code``, ``name``, optional ``description``, ``aliases`` and the
    vocabulary's own fields.
    """
    report = LoadReport()
    model = VOCABULARIES[vocabulary]
    known = {term.code: term for term in model._default_manager.all()}
    for shipped in terms:
        term = known.get(shipped["code"])
        aliases = list(shipped.get("aliases", ()))
        fields = {key: value for key, value in shipped.items() if key not in {"code", "aliases"}}
        if term is None:
            term = model(code=shipped["code"])
            report.added += 1
            is_new = True
        else:
            is_new = False
        is_changed = _apply_fields(term, fields, is_new=is_new)
        is_changed |= _apply_aliases(term, aliases, report)
        if not is_new:
            report.changed += is_changed
            report.unchanged += not is_changed
    return report


def _apply_fields(term: Any, fields: Mapping[str, Any], *, is_new: bool) -> bool:
    shipped = term.shipped_json.get("fields", {})
    changed = False
    for name, value in fields.items():
        # A field that is shipped for the first time is untouched while it has its default.
        before = shipped.get(name, term._meta.get_field(name).get_default())
        untouched = is_new or getattr(term, name) == before
        if untouched and getattr(term, name) != value:
            setattr(term, name, value)
            changed = True
    if is_new or shipped != fields:
        term.shipped_json = {**term.shipped_json, "fields": dict(fields)}
        term.full_clean()
        term.save()
    return changed


def _apply_aliases(term: Any, aliases: list[str], report: LoadReport) -> bool:
    """Add aliases that were never shipped for this term before; one that was removed stays away."""
    shipped = term.shipped_json.get("aliases", [])
    own = {normalize(term.code), normalize(term.name)}
    own |= set(term.aliases.values_list("key", flat=True))
    added = False
    for text in aliases:
        alias = term.aliases.model(term=term, text=text, key=normalize(text))
        if text in shipped or alias.key in own:
            continue
        if clash := alias.find_clash():
            report.skipped.append(f"“{text}” for {term.code}: it already means {clash.code}")
            continue
        alias.save()
        own.add(alias.key)
        added = True
    if shipped != aliases:
        term.shipped_json = {**term.shipped_json, "aliases": aliases}
        term.save(update_fields=["shipped_json"])
    return added


def _read_terms(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return tomllib.load(file)["term"]
