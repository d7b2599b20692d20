"""The metadata of a row: what is kept besides the fields of an image, for `metadata_json`."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from catalog.importers.parsers import (
    NotAList,
    clean,
    parse_list,
    parse_number,
)
from catalog.importers.tables.columns import find_fates
from catalog.importers.tables.identifying_cells import drop_from_fact, drop_from_text
from catalog.importers.tables.identifying_columns import (
    find_unsafe_together,
    is_free_text,
    is_identifying,
    may_identify,
)
from catalog.importers.tables.identifying_texts import may_tell
from catalog.importers.tables.labels import Remembered
from catalog.importers.tables.long_form import LongForm
from catalog.importers.tables.specs import Description, ImageSpec, MetadataSpec
from catalog.importers.tables.templates import Cells, Header, compile_value, of_key
from catalog.importers.tables.toml_section import Value

_LARGEST_INTEGER = 2**53
# Words that mean a missing value are short, so longer texts need no check.
_LONG = 6
# Shorter texts have no name and a value.
_SHORTEST_PAIR = 5
_NOTHING: tuple[object, ...] = ("", [])
# Fields of an image of which unknown words are kept in its metadata.
_OF_VOCABULARIES = ("modality", "area", "license", "view")

Convert = Callable[[str], Any]


class MetadataReader:
    """Reads the metadata of a table's rows. Raises `SourceError` for columns that it lacks.

    `names` are the columns that are kept; `excluded_columns` were left out, though no description
    says so, as they may identify people; `fates` say what becomes of each column; `cut_columns`
    have objects that were kept in part or not at all, for the same reason.
    """

    def __init__(self, description: Description, header: Header) -> None:
        self._spec, view = description.metadata, description.image.view
        spec = self._spec
        for key in ("keep", "drop", "only", "numbers", "lists"):
            with of_key(header, "[metadata]", key):
                for name in getattr(spec, key):
                    header.find(name)
        others = [] if spec.only else _find_others(description, header)
        named = {*spec.keep, *spec.numbers, *spec.lists}
        named.update(name for template in spec.add.values() for name in template.columns)
        used = _find_used(description) | named
        unsafe = find_unsafe_together(header.index) - used
        kept = [name for name in others if name not in unsafe and _is_kept(name, used, named)]
        self.excluded_columns = [name for name in others if name not in {*kept, *used}]
        self.names = names = spec.only or kept
        born = _find_born(description)
        self.fates = find_fates(
            header, spec, kept=names, excluded=self.excluded_columns, used=used, born=born,
            words=_find_columns(getattr(description.image, key) for key in _OF_VOCABULARIES),
        )  # fmt: skip
        places = [(name, header.index[name]) for name in names if name in header.index]
        converts = {name: _find_converter(spec, name) for name in names}
        self._kept = [(name, index) for name, index in places if not converts[name]]
        self._converted = [
            (name, index, Remembered(convert))
            for name, index in places
            if (convert := converts[name])
        ]
        added: dict[str, Value] = {name: (template,) for name, template in spec.add.items()}
        if view:
            added["view"] = view
        self._is_told = Remembered(_is_told)
        self.cut_columns: set[str] = set()
        self._drop = partial(_drop, cut=self.cut_columns, keep={*spec.keep})
        self._added = [(name, compile_value(value, header)) for name, value in added.items()]
        self._long = LongForm(header, spec.keep)
        self._of_values = _find_made_of(self._long.values, names, added)

    def read(self, cells: Cells) -> dict[str, Any]:
        metadata: dict[str, Any] = {}
        is_told = self._is_told
        for name, index in self._kept:
            text = cells[index]
            if len(text) >= _SHORTEST_PAIR and ("{" in text or may_tell(text)):
                text = self._drop(text, name)
            if text and (len(text) > _LONG or is_told[text]):
                metadata[name] = text
        for name, index, convert in self._converted:
            text = self._drop(cells[index], name)
            if (value := convert[text]) not in _NOTHING:
                metadata[name] = value
        for name, get in self._added:
            if text := self._drop(get(cells), name):
                metadata[name] = text
        if self._long.find_told(cells):
            self.cut_columns.update(name for name in self._of_values if metadata.pop(name, ""))
        return metadata

    def keep_raw(
        self, metadata: dict[str, Any], cells: Cells, columns: Iterable[tuple[str, int]]
    ) -> None:
        """Keep the cells of a field that was not understood, as others are kept."""
        spec = self._spec
        for name, index in columns:
            if name in spec.drop or (spec.only and name not in spec.only):
                continue
            if text := self._drop(cells[index], name, drop=drop_from_fact):
                metadata[name] = text


class Gatherer:
    """Reads the columns of a row that `[many]` gathers, by name; empty if there is nothing.

    `cut_columns` as in `MetadataReader`.
    """

    def __init__(self, description: Description, header: Header) -> None:
        many = description.many
        self._columns: list[tuple[str, int, Convert | None]] = []
        self.cut_columns: set[str] = set()
        self._drop = partial(_drop, cut=self.cut_columns, keep={*description.metadata.keep})
        self._long = LongForm(header, description.metadata.keep)
        self._unless = header.find(many.unless) if many and many.unless else None
        for name in many.columns if many else ():
            if (index := header.find(name)) is not None:
                convert = _find_converter(description.metadata, name)
                self._columns.append((name, index, convert))

    def read(self, cells: Cells) -> dict[str, Any]:
        if self._unless is not None and not clean(cells[self._unless]):
            return {}
        told = self._long.find_told(cells)
        self.cut_columns.update(name for name, _, _ in self._columns if name in told)
        texts = (
            (name, clean(self._drop(cells[index], name)), convert)
            for name, index, convert in self._columns
            if name not in told
        )
        return {name: convert(text) if convert else text for name, text, convert in texts if text}


def _drop(
    text: str,
    name: str,
    *,
    cut: set[str],
    keep: set[str],
    drop: Callable[..., str] = drop_from_text,
) -> str:
    """What is kept of a cell; `cut` gets its column if that is less."""
    kept = drop(text, name, is_in_keep=name in keep)
    if kept != text:
        cut.add(name)
    return kept


def _is_told(text: str) -> bool:
    return clean(text) != ""


def _find_others(description: Description, header: Header) -> Iterable[str]:
    """All columns except those that are excluded, or are a field as a whole.

    (The store keeps unknown words for modality and area.)
    """
    image = description.image
    told = {name for spec in description.labels for name in spec.whole_columns}
    for value in (image.id, image.subject, image.sex, image.age, image.modality, image.area,
                  image.view, image.width, image.height, image.size, image.url):  # fmt: skip
        if len(value) == 1:
            told.add(value[0].whole)
    if description.many:
        told.update(description.many.columns)
    told.update(description.metadata.drop)
    told |= _find_born(description)
    told.difference_update(description.metadata.keep)
    return [name for name in header.index if name not in told]


def _is_kept(name: str, used: set[str], named: set[str]) -> bool:
    """Whether a column is kept.

    One that may identify people is kept only if the description uses it, and free text only if
    `[metadata]` names it.
    """
    if is_identifying(name) or (is_free_text(name) and name not in named):
        return False
    return name in used or not may_identify(name)


def _find_made_of(
    columns: Collection[str], names: Iterable[str], added: Mapping[str, Value]
) -> list[str]:
    """The names in the metadata whose texts are of one of the columns."""
    found = [name for name in names if name in columns]
    return found + [
        name
        for name, value in added.items()
        if any(column in columns for template in value for column in template.columns)
    ]


def _find_born(description: Description) -> set[str]:
    """The columns of a date of birth, which is for the age alone, whatever they are called."""
    return {name for template in description.image.born for name in template.columns}


def _find_used(description: Description) -> set[str]:
    """The columns that the description uses, other than to exclude them."""
    image = description.image
    given = (getattr(image, name) for name in ImageSpec.model_fields)
    values: list[Value] = [value for value in given if isinstance(value, tuple)]
    values.append(description.files.path)
    values += [value for spec in description.labels for value in (spec.words, spec.confidence)]
    values += [value for spec in description.join for value in (spec.key, spec.to)]
    whole = {name for spec in description.labels for name in spec.whole_columns}
    whole.update(description.many.columns if description.many else ())
    return whole | _find_columns(values)


def _find_columns(values: Iterable[Value]) -> set[str]:
    return {name for value in values for template in value for name in template.columns}


def _find_converter(spec: MetadataSpec, name: str) -> Convert | None:
    if name in spec.numbers:
        return read_number
    return read_list if name in spec.lists else None


def read_number(text: str) -> int | float | str:
    """The number of a cell, an int if it is whole; the text if it is not a number."""
    number = parse_number(text).value
    if number is None:
        return clean(text)
    return int(number) if number.is_integer() and abs(number) < _LARGEST_INTEGER else number


def read_list(text: str) -> list[str] | str:
    """The items of a cell; the text if it is not a list."""
    try:
        return parse_list(text)
    except NotAList:
        return text
