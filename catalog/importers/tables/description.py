"""The file `dataset.toml`: what a dataset is, where its files are, how its tables map. Pure.

The files in `catalog/data/tables/` describe real datasets and explain each key. In short:

    [dataset]      slug, and the fields of `published.py`; of a shipped slug the rest is known
    [files]        folder, path, extensions, anywhere
    [[table]]      path, format, encoding, delimiter, header, skip, member, optional
    [[join]]       the same, with key and to: columns from a second table
    [image]        id, subject, sex, age, born, studied, modality, area, view, width, height, …
    [[labels]]     words, separator, list … or columns, positive, negative, uncertain …
    [many]         where several rows describe one image: adjacent, gather, columns, unless
    [metadata]     what else is kept of a row: leave_out, only, numbers, lists, add

A value is a template: text with columns in braces. Of a list of templates the first that is not
empty counts.
"""

import codecs
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.importers.parsers import AGE_UNITS
from catalog.importers.rows import SourceError
from catalog.importers.tables.identifying import is_identifying
from catalog.importers.tables.labels import FINDINGS, LabelSpec, fold
from catalog.importers.tables.reading import FORMATS, TableFormat
from catalog.importers.tables.specs import (
    Description,
    FilesSpec,
    ImageSpec,
    ManySpec,
    MetadataSpec,
    TableSpec,
)
from catalog.importers.tables.toml_section import Section

MAX_TOML_BYTES = 1 << 20
_TEXTS = ("title", "description", "source_url", "area", "license", "citation", "doi")
_LISTS = ("modalities", "task_types", "tags")
_COUNTS = ("num_images", "size_mb")


def read_description(path: Path) -> Description:
    """Read and check a `dataset.toml`. Raises `SourceError` with the place of what is wrong."""
    return parse_description(_load(path), file=path.name, home=path.parent)


def parse_description(values: Mapping[str, Any], *, file: str, home: Path) -> Description:
    """The same for what a TOML file holds; `home` is the folder that its paths start in."""
    top = Section(values, file=file, name="the file")

    def section(key: str) -> Section:
        return Section(top.take(key, {}), file=file, name=f"[{key}]")

    def sections(key: str) -> list[Section]:
        found = top.take(key, [])
        if not isinstance(found, list):
            raise top.wrong(f"write [[{key}]] with two brackets: there may be several.", key)
        return [Section(each, file=file, name=f"[[{key}]]") for each in found]

    if not top.take("table"):
        raise top.wrong("there is no [[table]]. Name the table that lists the images.")
    description = Description(
        entry=_read_entry(section("dataset")),
        files=_read_files(section("files"), home),
        tables=tuple(_read_table(each) for each in sections("table")),
        joins=tuple(_read_table(each, joined=True) for each in sections("join")),
        image=_read_image(section("image")),
        labels=tuple(map(_read_labels, sections("labels"))),
        many=_read_many(section("many")) if "many" in top else None,
        metadata=_read_metadata(section("metadata")),
    )
    top.done()
    return description


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_TOML_BYTES:
            raise SourceError(f"{path.name} is too large for a description. Is it the table?")
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SourceError(f"{path.name} is no TOML: {error}.") from error


def _read_entry(section: Section) -> dict[str, Any]:
    entry: dict[str, Any] = {"slug": section.text("slug")}
    for key in _TEXTS:
        entry[key] = section.text(key)
    for key in _LISTS:
        entry[key] = list(section.texts(key))
    for key in _COUNTS:
        entry[key] = section.count(key)
    entry["is_synthetic"] = section.flag("is_synthetic")
    if not entry["slug"]:
        raise section.wrong('give the dataset\'s short name: slug = "my-dataset".')
    section.done()
    # What is not said here stays as the shipped entry, or the catalog, has it.
    return {key: value for key, value in entry.items() if key in section}


def _read_files(section: Section, home: Path) -> FilesSpec:
    folder = section.text("folder")
    extensions = section.texts("extensions")
    for extension in extensions:
        if not extension.startswith(".") or "/" in extension:
            raise section.wrong('write extensions with their dot: [".png", ".dcm"].', "extensions")
    spec = FilesSpec(
        folder=home / Path(folder).expanduser() if folder else None,
        path=section.value("path"),
        extensions=extensions,
        anywhere=section.flag("anywhere"),
    )
    section.done()
    return spec


def _read_table(section: Section, *, joined: bool = False) -> TableSpec:
    patterns = section.texts("path")
    if not patterns:
        raise section.wrong('name the file: path = "labels.csv".')
    for pattern in patterns:
        if pattern.startswith(("/", "~")) or "\\" in pattern or ".." in pattern.split("/"):
            raise section.wrong(
                f"“{pattern}” may lead elsewhere. Put the table beside the description, or below, "
                "and name it from there with '/' between.",
                "path",
            )
    spec = TableSpec(
        patterns=patterns,
        how=_read_format(section),
        optional=section.flag("optional"),
        key=section.value("key") if joined else (),
        to=section.value("to") if joined else (),
    )
    if joined and not (spec.key and spec.to):
        raise section.wrong('say how rows meet: key = "{its column}", to = "{the table\'s}".')
    section.done()
    return spec


def _read_format(section: Section) -> TableFormat:
    how = TableFormat(
        format=section.choice("format", FORMATS),
        encodings=section.texts("encoding") or ("utf-8",),
        delimiter=section.text("delimiter"),
        header=section.texts("header"),
        skip=section.count("skip"),
        member=section.text("member"),
    )
    if len(how.delimiter) > 1 or how.delimiter in ('"', "\n", "\r"):
        raise section.wrong("give one character that is no quote.", "delimiter")
    if len(how.encodings) > 2:
        raise section.wrong("give one encoding, or two.", "encoding")
    for encoding in how.encodings:
        if not _is_text_encoding(encoding):
            raise section.wrong(f"there is no text encoding “{encoding}”.", "encoding")
    return how


def _is_text_encoding(name: str) -> bool:
    try:
        return bool(codecs.lookup(name)._is_text_encoding)
    except (LookupError, ValueError):
        return False


def _read_image(section: Section) -> ImageSpec:
    spec = ImageSpec(
        id=section.value("id"),
        age_unit=section.choice("age_unit", AGE_UNITS, "years"),
        sex_words={fold(word): sex for word, sex in section.pairs("sex_words").items()},
        born=section.value("born", may_identify=True),
        **{key: section.value(key) for key in _IMAGE_VALUES},
    )
    if not any(template.columns for template in spec.id):
        raise section.wrong('say which column tells images apart: id = "{file}".')
    if not set(spec.sex_words.values()) <= {"F", "M", "O", ""}:
        raise section.wrong('give F, M, O or "" for each word.', "sex_words")
    if bool(spec.born) != bool(spec.studied):
        raise section.wrong("born and studied make an age only together.")
    section.done()
    return spec


_IMAGE_VALUES = (
    *("subject", "sex", "age", "studied", "modality", "area", "view"),
    *("width", "height", "size", "url"),
)


def _read_labels(section: Section) -> LabelSpec:
    words, columns = section.value("words"), section.take("columns", {})
    if bool(words) == bool(columns):
        raise section.wrong("give either words or columns.")
    if isinstance(columns, list):
        columns = {column: column for column in section.texts("columns")}
    else:
        columns = section.pairs("columns")
    spec = LabelSpec(
        words=words,
        separator=section.text("separator"),
        is_list=section.flag("list"),
        finding=section.choice("finding", FINDINGS, "positive"),
        confidence=section.value("confidence"),
        columns=tuple(columns.items()),
        others=section.choice("others", FINDINGS),
        ignore=frozenset(word.casefold() for word in section.texts("ignore")),
        rename=section.pairs("rename"),
        **_read_findings(section),
    )
    _check_labels(section, spec)
    section.done()
    return spec


def _read_findings(section: Section) -> dict[str, frozenset[str]]:
    """What cells mean: as told, and of the usual words those that are not told otherwise."""
    told = {finding: frozenset(map(fold, section.texts(finding))) for finding in FINDINGS}
    taken = frozenset().union(*told.values())
    usual = {finding: getattr(LabelSpec(), finding) - taken for finding in FINDINGS}
    return {key: told[key] if key in section else usual[key] for key in FINDINGS}


def _check_labels(section: Section, spec: LabelSpec) -> None:
    for column, word in spec.columns:
        if is_identifying(column) or not word.strip():
            raise section.wrong(f"the column “{column}” can be no label.", "columns")
    if spec.is_list and spec.separator:
        raise section.wrong("give either separator or list.")
    for one, other in ((0, 1), (0, 2), (1, 2)):
        both = getattr(spec, FINDINGS[one]) & getattr(spec, FINDINGS[other])
        if both:
            said = f"{FINDINGS[one]} and {FINDINGS[other]}"
            raise section.wrong(f"{', '.join(sorted(both))} cannot mean both {said}.")


def _read_many(section: Section) -> ManySpec:
    spec = ManySpec(
        adjacent=section.flag("adjacent"),
        gather=section.text("gather"),
        columns=section.texts("columns"),
        unless=section.text("unless"),
    )
    if bool(spec.gather) != bool(spec.columns):
        raise section.wrong("gather is the name of the list that columns go into: give both.")
    _refuse_identifying(section, "columns", spec.columns)
    section.done()
    return spec


def _read_metadata(section: Section) -> MetadataSpec:
    spec = MetadataSpec(
        leave_out=frozenset(section.texts("leave_out")),
        only=section.texts("only"),
        numbers=frozenset(section.texts("numbers")),
        lists=frozenset(section.texts("lists")),
        add=tuple((k, section.template("add", v)) for k, v in section.pairs("add").items()),
    )
    _refuse_identifying(section, "only", spec.only)
    section.done()
    return spec


def _refuse_identifying(section: Section, key: str, columns: tuple[str, ...]) -> None:
    for column in filter(is_identifying, columns):
        raise section.wrong(
            f"the column “{column}” tells who somebody is, and is never kept. Take it off.", key
        )
