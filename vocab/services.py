"""Loads and imports terms, keeping the changes of curators, and activates or hides them."""

import tomllib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from vocab.lookup import HIERARCHIES, VOCABULARIES
from vocab.moving import load_known, move_terms
from vocab.querysets import TermQuerySet
from vocab.signals import terms_changed
from vocab.spellings import Spellings, has_areas, read_spellings
from vocab.term_files import COLUMNS, IN_AREAS, BadTermFile, FileTerm, place
from vocab.text import normalize

DATA_DIR = Path(__file__).parent / "data"
SHIPPED_FILES: Mapping[str, str] = {
    "modality": "modalities.toml",
    "area": "areas.toml",
    "view": "views.toml",
    "task": "task_types.toml",
    "tag": "tags.toml",
    "license": "licenses.toml",
    "label": "labels.toml",
}
# What is not simply written into a field of the term.
_NO_FIELDS = frozenset({"code", "aliases", IN_AREAS, "broader"})


@dataclass(slots=True)
class LoadReport:
    """The result of a load, in numbers of terms.

    ``skipped`` lists aliases and broader terms that were not taken, with the reason.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: list[str] = field(default_factory=list)

    def count(self, codes: Iterable[str], *, old: Container[str], changed: Container[str]) -> None:
        """Count the terms; ``old`` are those that were there before."""
        for code in codes:
            self.added += code not in old
            self.changed += code in old and code in changed
            self.unchanged += code in old and code not in changed


def load_shipped_vocabularies() -> dict[str, LoadReport]:
    """Load all shipped vocabularies, or none of them after an error."""
    with transaction.atomic():
        reports = {
            name: load_terms(vocabulary=name, terms=_read_terms(DATA_DIR / file))
            for name, file in SHIPPED_FILES.items()
        }
    terms_changed.send(sender=None)
    return reports


def own_fields(vocabulary: str) -> list[str]:
    """The fields of a vocabulary besides those that all vocabularies have."""
    model = VOCABULARIES[vocabulary]
    editable = [field.name for field in model._meta.fields if field.editable]
    own = [name for name in editable if name not in {"id", *COLUMNS}]
    return [*own, IN_AREAS] if has_areas(model) else own


def import_terms(
    *, vocabulary: str, terms: Sequence[FileTerm], dry_run: bool = False
) -> LoadReport:
    """Import an operator's own terms into a vocabulary, all of them or none.

    Fields in the file replace existing values and then count as a curator's changes, which
    `load_terms` keeps. Aliases are added, and none is removed. A broader term is given by its
    code, which may stand anywhere in the file, or is removed by an empty text.

    Raises:
        BadTermFile: a term or an alias is invalid; lists every problem with its line.
    """
    report = LoadReport()
    model = VOCABULARIES[vocabulary]
    problems: list[str] = []
    with transaction.atomic():
        known = load_known(model)
        old, changed = set(known), set()
        spellings = Spellings(model)
        for given in terms:
            term = known.setdefault(given.fields["code"], model(code=given.fields["code"]))
            try:
                if _import_term(term, given.fields, spellings, report):
                    changed.add(term.code)
            except ValidationError as error:
                problems += [f"{place(given)}: {text}" for text in _describe(error)]
        if vocabulary in HIERARCHIES:
            moved, more = _import_broader(terms, known)
            changed |= moved
            problems += more
        report.count((given.fields["code"] for given in terms), old=old, changed=changed)
        if problems:
            raise BadTermFile(*problems)
        spellings.save()
        if dry_run:
            transaction.set_rollback(True)
    if not dry_run and (report.added or report.changed):
        terms_changed.send(sender=model)
    return report


def _import_term(
    term: Any, given: Mapping[str, Any], spellings: Spellings, report: LoadReport
) -> bool:
    """Write the fields and add the aliases; returns whether anything changed."""
    is_new = term.pk is None
    changed = False
    for name in given.keys() - _NO_FIELDS:
        value = _to_python(term._meta.get_field(name), given[name])
        changed |= getattr(term, name) != value
        setattr(term, name, value)
    if is_new or changed:
        term.clean_fields()
        term.save()
    return spellings.add(term, read_spellings(given), report.skipped) or changed


def _import_broader(
    terms: Sequence[FileTerm], known: Mapping[str, Any]
) -> tuple[set[str], list[str]]:
    """Set the broader terms that the file gives; the codes of those moved, and the problems."""
    given = {term.fields["code"]: term for term in terms if "broader" in term.fields}
    # What could not be saved is reported already.
    wanted = {code: term.fields["broader"] for code, term in given.items() if known[code].pk}
    reasons = {
        code: f"there is no term “{above}”. Write the code of a term of this vocabulary."
        for code, above in wanted.items()
        if above and above not in known
    }
    wanted = {code: above for code, above in wanted.items()
              if not above or (above in known and known[above].pk)}  # fmt: skip
    moved, circles = move_terms(wanted, known)
    problems = [
        f"{place(given[code])}: broader: {why}" for code, why in (reasons | circles).items()
    ]
    return moved, problems


def _to_python(field: models.Field, value: Any) -> Any:
    if isinstance(field, models.BooleanField) and value in ("true", "false"):
        value = value == "true"  # a cell of a CSV
    try:
        return field.to_python(value)
    except ValidationError as error:
        raise ValidationError({field.name: error.messages}) from error


def _describe(error: ValidationError) -> Iterator[str]:
    if not hasattr(error, "error_dict"):
        yield from error.messages
        return
    for name, texts in error.message_dict.items():
        yield from (f"{name}: {text}" for text in texts)


def set_terms_active(*, terms: TermQuerySet, is_active: bool) -> int:
    """Show or hide terms everywhere; returns how many changed."""
    changed = terms.exclude(is_active=is_active).update(is_active=is_active)
    if changed:
        # The terms are saved: an error of what follows is logged, and is no error of the request.
        terms_changed.send_robust(sender=terms.model)
    return changed


def load_terms(*, vocabulary: str, terms: Iterable[Mapping[str, Any]]) -> LoadReport:
    """Add missing terms and update shipped ones.

    A field, alias or broader term that a curator changed, added or removed stays as the curator
    left it. An alias that is no longer shipped, or now for another area, is removed. A hidden term
    that an import made of an unknown word is shown.

    ``terms`` are mappings with ``code``, ``name``, optional ``description``, ``aliases``, of labels
    ``aliases_in``, and the vocabulary's own fields.
    """
    report = LoadReport()
    model = VOCABULARIES[vocabulary]
    known = load_known(model)
    spellings = Spellings(model)
    given = list(terms)
    old = set(known)
    # First, so that an alias can move to another term.
    changed = {shipped["code"] for shipped in given
               if spellings.drop(known.get(shipped["code"]), shipped)}  # fmt: skip
    for shipped in given:
        term = known.setdefault(shipped["code"], model(code=shipped["code"]))
        is_new = term.pk is None
        fields = {key: value for key, value in shipped.items() if key not in _NO_FIELDS}
        # Inactive, and shipped for the first time: an import has made it of a word unknown to it.
        is_of_import = not (is_new or term.is_active or term.shipped_json)
        if is_of_import and normalize(term.name) == normalize(term.code):
            term.name = ""  # That word, which no curator has changed.
        is_changed = _apply_fields(term, fields, is_new=is_new)
        if is_of_import:
            term.is_active = is_changed = True
        new = spellings.find_new(term, shipped)
        is_changed |= spellings.add(term, new, report.skipped)
        shipped_json = _keep_shipped(term, shipped, fields)
        if is_new or term.shipped_json != shipped_json:
            term.shipped_json = shipped_json
            term.clean_fields()
            term.save()
        if is_changed:
            changed.add(term.code)
    if vocabulary in HIERARCHIES:
        changed |= _move_shipped(given, known, report)
    report.count((shipped["code"] for shipped in given), old=old, changed=changed)
    spellings.save()
    return report


def _keep_shipped(
    term: Any, shipped: Mapping[str, Any], fields: Mapping[str, Any]
) -> dict[str, Any]:
    before = {key: value for key, value in term.shipped_json.items() if key != IN_AREAS}
    in_areas = {IN_AREAS: shipped[IN_AREAS]} if IN_AREAS in shipped else {}
    aliases = list(shipped.get("aliases", ()))
    return {**before, "fields": fields, "aliases": aliases, **in_areas}


def _move_shipped(
    given: Iterable[Mapping[str, Any]], known: Mapping[str, Any], report: LoadReport
) -> set[str]:
    """Set the shipped broader terms that no curator changed; returns the codes of those moved."""
    wanted = {
        shipped["code"]: shipped.get("broader", "")
        for shipped in given
        if _code_of_broader(known[shipped["code"]])
        == known[shipped["code"]].shipped_json.get("broader", "")
    }
    moved, circles = move_terms(wanted, known)
    for code, why in circles.items():
        report.skipped.append(f"{wanted[code]} as the broader term of {code}: {why}")
    for shipped in given:
        term, code = known[shipped["code"]], shipped.get("broader", "")
        if term.shipped_json.get("broader", "") != code and term.code not in circles:
            term.shipped_json = {**term.shipped_json, "broader": code}
            term.save(update_fields=["shipped_json"])
    return moved


def _code_of_broader(term: Any) -> str:
    return term.broader.code if term.broader else ""


def _apply_fields(term: Any, fields: Mapping[str, Any], *, is_new: bool) -> bool:
    shipped = term.shipped_json.get("fields", {})
    changed = False
    for name, value in fields.items():
        # A field that is shipped for the first time is unchanged if it has its default.
        before = shipped.get(name, term._meta.get_field(name).get_default())
        untouched = is_new or getattr(term, name) == before
        if untouched and getattr(term, name) != value:
            setattr(term, name, value)
            changed = True
    return changed


def _read_terms(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return tomllib.load(file)["term"]
