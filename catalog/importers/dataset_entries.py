"""Catalog entries: a publisher's description of a dataset, from TOML files and from sources."""

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

import pydantic
from django.core.exceptions import ValidationError
from django.db import transaction

from catalog.imported_keys import IDC_RELEASE, IMPORTED_FROM
from catalog.importers.entry_models import PublishedEntry
from catalog.importers.tables.toml_section import describe_errors, give_example
from catalog.models import Dataset
from catalog.search.full_text import refresh_search_vectors
from catalog.services import refresh_dataset
from catalog.storage.roots import resolve_dataset_root
from vocab.lookup import Vocabularies, current_vocabularies, join_meanings
from vocab.text import normalize

SHIPPED_DATASETS = Path(__file__).parent.parent / "data" / "datasets.toml"
PLAIN_FIELDS = ("title", "description", "source_url", "citation", "doi", "num_images",
                "is_num_rounded", "sample_unit", "size_mb", "year", "dimensions", "access",
                "has_labels", "parts", "survey", "local_path", "storage", "is_synthetic",
                "is_featured")  # fmt: skip
# The vocabulary in which the words of a field are looked up.
ONE_TERM = {"area": "area", "license": "license"}
MANY_TERMS = {"other_areas": "area", "modalities": "modality", "task_types": "task",
              "labels": "label", "tags": "tag"}  # fmt: skip
# No fields of a dataset, but kept with them in ``imported_json``: see ``find_place`` and
# ``Dataset.idc_release``.
_KEPT = (IMPORTED_FROM, IDC_RELEASE)
# Counted from the images as soon as there are any.
_COUNTED = ("num_images", "size_mb")


class Change(StrEnum):
    """What saving an entry did to its dataset."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


class BadEntry(LookupError):
    """An entry names a field or a term that there is not; the message says what to do."""


def read_datasets(path: Path) -> list[dict[str, Any]]:
    """The ``[[dataset]]`` tables of a TOML file; terms are named by code."""
    with path.open("rb") as file:
        return tomllib.load(file)["dataset"]


def add_missing_datasets(*, entries: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Add the entries whose slug is new and leave the others as they are: (added, kept).

    A dataset with a former slug of its entry gets the present slug.
    """
    known = set(Dataset.objects.values_list("slug", flat=True))
    new = [each for each in entries if each["slug"] not in known]
    renamed = [each for each in new if not known.isdisjoint(each.get("formerly", ()))]
    with transaction.atomic():
        for each in renamed:
            save_dataset(entry=each)
        added = _add_datasets([each for each in new if each not in renamed])
    return added, len(entries) - added


def _add_datasets(entries: Sequence[Mapping[str, Any]]) -> int:
    """Add datasets that are not there; a statement for all of them takes as long as for one."""
    vocabularies = current_vocabularies()
    wanted = [_read_entry(each, vocabularies) for each in entries]
    ids = {
        field: {ref.code: pk for pk, ref in vocabularies.terms[vocabulary].items()}
        for field, vocabulary in (ONE_TERM | MANY_TERMS).items()
    }
    datasets = []
    for entry, fields in zip(entries, wanted, strict=True):
        terms = {f"{name}_id": ids[name].get(fields.get(name, "")) for name in ONE_TERM}
        plain = {name: fields[name] for name in PLAIN_FIELDS if name in fields}
        dataset = Dataset(slug=entry["slug"], imported_json=fields, **plain, **terms)
        # The database checks the rest, and that no slug is there twice.
        dataset.clean_fields(exclude=ONE_TERM.keys())
        datasets.append(dataset)
    Dataset.objects.bulk_create(datasets)
    for name in MANY_TERMS:
        relation: Any = getattr(Dataset, name)
        column = f"{relation.field.m2m_reverse_field_name()}_id"
        relation.through.objects.bulk_create(
            relation.through(dataset_id=dataset.pk, **{column: ids[name][code]})
            for dataset, fields in zip(datasets, wanted, strict=True)
            for code in fields.get(name, ())
        )
    refresh_search_vectors(dataset_ids=[dataset.pk for dataset in datasets])
    return len(datasets)


def save_dataset(*, entry: Mapping[str, Any], is_trial: bool = False) -> tuple[Dataset, Change]:
    """Create or update the dataset of an entry, its terms included, and make it findable.

    ``entry`` has the keys of ``PublishedEntry``; all but ``slug`` and, at first, ``title`` may be
    missing and then stay as they are. Terms are given by code or in any spelling. A field that a
    curator changed since the last import is left alone, and so are numbers that are counted from
    images. An entry that brings nothing new writes nothing. A trial is rolled back by the caller:
    search vector and profiles are left as they are.

    Raises:
        BadEntry: a LookupError; a field or a term is unknown, a value has another type, or a word
            means several terms.
        UnsafePath: ``local_path`` lies outside the dataset folders.
        ValidationError: a field does not hold what it should; of a description, BadEntry.
    """
    wanted = _read_entry(entry, current_vocabularies())
    kept = {name: entry[name] for name in _KEPT if entry.get(name)}
    try:
        with transaction.atomic():
            dataset = _find_dataset(entry)
            if dataset is None:
                dataset = Dataset(slug=entry["slug"], imported_json=wanted | kept)
                _write(dataset, wanted, is_trial=is_trial)
                return dataset, Change.ADDED
            change = _update(dataset, entry["slug"], wanted, kept, is_trial=is_trial)
            return dataset, change
    except ValidationError as error:
        if IMPORTED_FROM not in kept:
            raise
        raise BadEntry(
            "\n".join(
                f"{_name_key(entry, name)}{' '.join(texts)}{give_example(name)}"
                for name, texts in error.message_dict.items()
            )
        ) from error


def find_place(slug: str) -> str:
    """The description from which a dataset was last imported, or ''."""
    dataset = Dataset.objects.filter(slug=slug).only("imported_json").first()
    return str(dataset.imported_json.get(IMPORTED_FROM, "")) if dataset else ""


def _update(
    dataset: Dataset,
    slug: str,
    wanted: dict[str, Any],
    kept: Mapping[str, Any],
    *,
    is_trial: bool,
) -> Change:
    if dataset.images.exists():
        wanted = {name: value for name, value in wanted.items() if name not in _COUNTED}
    changes = _find_changes(dataset, wanted)
    imported = {**dataset.imported_json, **wanted, **kept}
    if not changes and dataset.slug == slug:
        if imported != dataset.imported_json:
            # This is not visible, so it does not count as a change.
            Dataset.objects.filter(pk=dataset.pk).update(imported_json=imported)
        return Change.UNCHANGED
    dataset.slug, dataset.imported_json = slug, imported
    _write(dataset, changes, is_trial=is_trial)
    return Change.CHANGED


def _read_entry(entry: Mapping[str, Any], vocabularies: Vocabularies) -> dict[str, Any]:
    """The entry's checked fields except the slug, as in ``imported_json``: terms by code."""
    where = f"dataset “{entry.get('slug', '')}”"
    given = _check_entry(where, entry)
    wanted = {name: given[name] for name in PLAIN_FIELDS if name in given}
    if wanted.get("local_path"):
        resolve_dataset_root(wanted["local_path"])
    problems: list[str] = []
    area_id = _find_area(given.get("area") or "", vocabularies)
    for name in given.keys() & (ONE_TERM.keys() | MANY_TERMS.keys()):
        words = given[name] if name in MANY_TERMS else [given[name]] * bool(given[name])
        try:
            codes = _find_codes(where, name, words, vocabularies, area_id)
        except BadEntry as error:
            problems.append(f"{_name_key(entry, name)}{error}{give_example(name)}")
            continue
        wanted[name] = sorted(set(codes)) if name in MANY_TERMS else "".join(codes)
    if problems:
        raise BadEntry("\n".join(sorted(problems)))
    return wanted


def _name_key(entry: Mapping[str, Any], name: str) -> str:
    """Where a description has the field: its file, section and key; '' for other entries."""
    file = PurePosixPath(str(entry.get(IMPORTED_FROM) or "")).name
    return f"{file}, [dataset] {name}: " if file else ""


def _check_entry(where: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, without spaces around it and without repetitions."""
    given = {name: value for name, value in entry.items() if value is not None}
    try:
        checked = PublishedEntry.model_validate(given).model_dump(exclude_unset=True)
    except pydantic.ValidationError as error:
        raise BadEntry(describe_errors(error, PublishedEntry, f"The {where}")) from error
    return {name: _tidy(value) for name, value in checked.items()}


def _tidy(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip()
    return list(dict.fromkeys(value)) if isinstance(value, tuple) else value


def _find_area(word: str, vocabularies: Vocabularies) -> int | None:
    areas = vocabularies.find("area", [word])[word] if word else []
    return areas[0].id if len(areas) == 1 else None


def _find_codes(
    where: str,
    field: str,
    words: Sequence[str],
    vocabularies: Vocabularies,
    area_id: int | None,
) -> list[str]:
    """The code of the one active term that each word means; raises BadEntry."""
    vocabulary = {**ONE_TERM, **MANY_TERMS}[field]
    if vocabulary == "label":
        found = {word: vocabularies.find_label(word, area_id) for word in words}
    else:
        found = vocabularies.find(vocabulary, words)
    for word, terms in found.items():
        elsewhere = vocabularies.meanings_in_areas(word) if vocabulary == "label" else []
        if not terms and elsewhere:
            raise BadEntry(
                f"The {where} has {field} “{word}”, which means {join_meanings(elsewhere)} only. "
                f"Write “{elsewhere[0].label.code}” if that is meant, or else another label."
            )
        if not terms:
            raise BadEntry(
                f"The {where} has {field} “{word}”, which the vocabulary “{vocabulary}” does not "
                f"know.{_offer_codes(vocabulary, word)} `manage.py terms {vocabulary}` lists its "
                "codes. Correct the word, or add it there in the admin, as a term or as an alias "
                "(manage.py load_vocab loads the shipped terms)."
            )
        if len(terms) > 1:
            codes = ", ".join(term.code for term in terms)
            raise BadEntry(
                f"The {where} has {field} “{word}”, which means several terms of the vocabulary "
                f"“{vocabulary}”. Write one of the codes: {codes}."
            )
    return [terms[0].code for terms in found.values()]


def _offer_codes(vocabulary: str, word: str) -> str:
    spellings = current_vocabularies().spellings[vocabulary]
    near = get_close_matches(normalize(word), spellings, n=3)
    codes = dict.fromkeys(term.code for key in near for term in spellings[key])
    return f" Did you mean {' or '.join(codes)}?" if codes else ""


def _find_dataset(entry: Mapping[str, Any]) -> Dataset | None:
    """The entry's dataset, locked, found by its slug or a former slug."""
    locked = Dataset.objects.select_for_update(no_key=True)
    for slug in (entry["slug"], *entry.get("formerly", ())):
        if dataset := locked.filter(slug=slug).first():
            return dataset
    return None


def _find_changes(dataset: Dataset, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ``wanted`` that differ, except in fields that a curator changed."""
    changes = {}
    for name, value in wanted.items():
        current = _read_field(dataset, name)
        # A field that is imported for the first time is unchanged if it has its default.
        before = dataset.imported_json.get(name, _read_default(name))
        if current != value and current == before:
            changes[name] = value
    return changes


def _read_field(dataset: Dataset, name: str) -> Any:
    if name in ONE_TERM:
        term = getattr(dataset, name)
        return term.code if term else ""
    if name in MANY_TERMS:
        return sorted(getattr(dataset, name).values_list("code", flat=True))
    return getattr(dataset, name)


def _read_default(name: str) -> Any:
    if name in ONE_TERM:
        return ""
    field: Any = Dataset._meta.get_field(name)
    return [] if name in MANY_TERMS else field.get_default()


def _write(dataset: Dataset, changes: Mapping[str, Any], *, is_trial: bool) -> None:
    for name in changes.keys() - MANY_TERMS.keys():
        value = changes[name]
        if name in ONE_TERM:
            value = _terms_of(name).filter(code=value).first()
        setattr(dataset, name, value)
    is_new = dataset.pk is None
    dataset.full_clean()
    dataset.save()
    for name in changes.keys() & MANY_TERMS.keys():
        getattr(dataset, name).set(_terms_of(name).filter(code__in=changes[name]))
    if not is_trial:
        refresh_dataset(dataset=dataset, area_changed="area" in changes and not is_new)


def _terms_of(field: str) -> Any:
    model: Any = Dataset._meta.get_field(field).related_model
    return model._default_manager
