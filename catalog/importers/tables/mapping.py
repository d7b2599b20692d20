"""Maps a row of a table to an image, by functions that are compiled once for each table.

If an optional value cannot be parsed exactly, its text is kept in the metadata under the name of
its column, unless that column identifies people.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from catalog.imaging.paths import UnsafePath, check_relative_path
from catalog.importers.double_meanings import DoubleMeanings
from catalog.importers.masks import explain_mask, is_mask_column
from catalog.importers.parsers import (
    Reading,
    clean,
    parse_age,
    parse_age_between,
    parse_count,
    parse_sex,
    parse_share,
)
from catalog.importers.rows import BadRow, ImageRow, SourceError
from catalog.importers.tables.files import FileFinder, StoredNames
from catalog.importers.tables.identifying_cells import drop_from_text
from catalog.importers.tables.identifying_columns import is_identifying
from catalog.importers.tables.labels import CellError, Remembered, compile_labels, fold
from catalog.importers.tables.lines import show
from catalog.importers.tables.metadata import MetadataReader
from catalog.importers.tables.specs import Description, ImageSpec
from catalog.importers.tables.templates import (
    MAX_MADE,
    Cells,
    Header,
    TextTooLong,
    compile_id,
    compile_raw,
    compile_value,
    of_key,
)
from catalog.importers.tables.toml_section import Pairs, Value
from catalog.limits import MAX_IMAGE_BYTES, MAX_SOURCE_ID, MAX_SUBJECT_ID, MAX_URL

_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_URL = re.compile(r"(?:https?|s3|gs)://[^\s<>\"\\^`{|}]+")


# The keys of fields in a description, where they differ.
FIELD_KEYS = {"subject_id": "subject", "size_bytes": "size", "remote_url": "url"}
_UNKNOWN: tuple[object, ...] = ("", None)


class Field(NamedTuple):
    """One optional field: its text, its parser, and the columns to keep if it is not exact."""

    get: Callable[[Cells], Any]
    read: Callable[[Any], Reading]
    raw: tuple[tuple[str, int], ...]


class RowReader:
    """Reads the rows of one table. Raises `SourceError` for columns that it does not have."""

    def __init__(
        self,
        description: Description,
        header: Header,
        finder: FileFinder | StoredNames | None = None,
    ) -> None:
        image, files = description.image, description.files
        self._id_column = _name_column(image.id)
        self._path_column = _name_column(files.path or image.id)
        with of_key(header, "[image]", "id"):
            self._get_id = compile_id(image.id, header)
        with of_key(header, "[files]", "path"):
            self._get_path = compile_id(files.path or image.id, header)
        self._finder = finder
        # All files are masks where the description takes their names from such a column.
        columns = [name for template in files.path or image.id for name in template.columns]
        named = next(filter(is_mask_column, columns), "")
        self._mask = f"the column “{show(named)}”" if named else ""
        self._cut = cut = set[str]()
        with of_key(header, "[image]", "modality"):
            self._get_modality = _compile_word(image.modality, image.modality_words, header, cut)
        with of_key(header, "[image]", "area"):
            self._get_area = _compile_word(image.area, image.area_words, header, cut)
        with of_key(header, "[image]", "license"):
            self._get_license = _compile_word(image.license, image.license_words, header, cut)
        has_storage = bool(description.dataset.storage)
        self._meanings = DoubleMeanings()
        self._fields = tuple(
            _compile_fields(image, header, self._meanings, has_storage=has_storage).items()
        )
        with of_key(header, "[[labels]]", "words or columns"):
            self._labels = compile_labels(description.labels, header, cut)
            self._confidences = [
                compile_raw(spec.confidence, header)
                for spec in description.labels
                if spec.confidence
            ]
        self._is_share = Remembered[str, bool](lambda text: parse_share(text).exact)
        self._views = Remembered[str, str](
            lambda text: description.image.view_words.get(fold(text), text)
        )
        with of_key(header, "[metadata]", "or [image] view"):
            self._metadata = MetadataReader(description, header)
        header.require_all()
        self.excluded_columns = self._metadata.excluded_columns
        self.fates = self._metadata.fates
        self.mask_columns = [name for name in self._metadata.names if is_mask_column(name)]

    @property
    def cut_columns(self) -> set[str]:
        """The columns of cells of which less was kept, as they tell who somebody is."""
        return self._cut | self._metadata.cut_columns

    def read(self, line: int, cells: Cells) -> ImageRow | BadRow | None:
        """The image of a row; None for a row without any text."""
        try:
            return self._read(line, cells)
        except TextTooLong as error:
            reason = f"What is made of its cells has more than {MAX_MADE:,} characters. Shorten it."
            return BadRow(line, show(str(error)), "", reason)

    def check_meanings(self) -> None:
        """Raise `SourceError` if sexes or ages that were read may mean something else."""
        if self._meanings.is_m_unsure:
            raise SourceError(
                "The sexes are H and M, and none is F: M may be mujer. Say what they mean below "
                '[image]: sex_words = { H = "M", M = "F" }.'
            )
        if self._meanings.have_ages_a_sex:
            raise SourceError(
                "The ages are such as 45F and 45M, with the sex behind, and not in months. Write "
                "age and sex into columns of their own, or name no age below [image]."
            )

    def _read(self, line: int, cells: Cells) -> ImageRow | BadRow | None:
        source_id = self._get_id(cells)
        if not source_id.isprintable() or not 0 < len(source_id) <= MAX_SOURCE_ID:
            if not any(map(str.strip, cells)):
                return None
            if problem := _check_id(source_id):
                return BadRow(line, self._id_column, show(source_id), problem)
        try:
            row = ImageRow(source_id, line, labels=self._labels(cells))
            if self._finder:
                row.file_path = self._find_file(self._finder, cells)
        except CellError as error:
            return BadRow(line, error.column, show(error.value), error.reason, source_id)
        row.modality = self._get_modality(cells)
        row.area = self._get_area(cells)
        row.license = self._get_license(cells)
        row.metadata = metadata = self._metadata.read(cells)
        row.view = self._views[metadata.get("view", "")]
        if row.file_path and (mask := self._mask or explain_mask(row.file_path)):
            row.mask = mask
            metadata.setdefault("annotation", "mask")
        if self._confidences:
            row.unread = tuple(
                ("confidence", text)
                for get_share in self._confidences
                if not self._is_share[text := get_share(cells)]
            )
        for name, (get, read, raw) in self._fields:
            value, exact = read(get(cells))
            setattr(row, name, value)
            if not exact:
                self._metadata.keep_raw(metadata, cells, raw)
                if value in _UNKNOWN:
                    row.unread += ((name, _show_value(get(cells))),)
        return row

    def _find_file(self, finder: FileFinder | StoredNames, cells: Cells) -> str:
        name = self._get_path(cells)
        try:
            return finder.find(name)
        except UnsafePath as error:
            raise CellError(self._path_column, name, str(error)) from error


def _show_value(text: str | tuple[str, ...]) -> str:
    """Of an age from several columns only its own: a date of birth is not shown."""
    return text if isinstance(text, str) else text[0] or "dates"


def _name_column(value: Value) -> str:
    return next((name for template in value for name in template.columns), "")


def _check_id(source_id: str) -> str:
    if not source_id:
        return "The image has no id. Fill the cell, or remove the row."
    if len(source_id) > MAX_SOURCE_ID:
        return f"The id is longer than {MAX_SOURCE_ID} characters. Choose a shorter column."
    if _CONTROL.search(source_id):
        return "The id has control characters. Write it as plain text."
    return ""


# --- Fields ---
def _compile_word(
    value: Value, words: Pairs, header: Header, cut: set[str]
) -> Callable[[Cells], str]:
    """The value in the words that the vocabulary knows, where the description says them.

    A text that tells who somebody is becomes '', as words without a term are kept; `cut` gets its
    column.
    """
    get, column = compile_value(value, header), _name_column(value)

    def translate(text: str) -> str:
        word = fold(text)
        if word in words:
            return words[word]
        kept = drop_from_text(text, column)
        if kept != text:
            cut.add(column)
        return kept

    translated = Remembered[str, str](translate)
    return lambda cells: translated[get(cells)]


def _compile_fields(
    image: ImageSpec, header: Header, meanings: DoubleMeanings, *, has_storage: bool
) -> dict[str, Field]:
    def read_sex(text: str) -> Reading:
        word = fold(text)
        known = word in image.sex_words
        sex = Reading(image.sex_words[word]) if known else parse_sex(text)
        meanings.add_sex("" if known else text, sex.value)
        return sex

    def read_bytes(text: str) -> Reading:
        return parse_count(text, most=MAX_IMAGE_BYTES)

    values: dict[str, tuple[Value, Callable[[str], Reading]]] = {
        "subject_id": (image.subject, _read_subject),
        "sex": (image.sex, Remembered(read_sex).__getitem__),
        "width": (image.width, Remembered(parse_count).__getitem__),
        "height": (image.height, Remembered(parse_count).__getitem__),
        "size_bytes": (image.size, read_bytes),
        "remote_url": (image.url, _read_stored_url if has_storage else _read_url),
    }
    fields = {}
    for name, (value, read) in values.items():
        if value:
            with of_key(header, "[image]", FIELD_KEYS.get(name, name)):
                fields[name] = Field(compile_raw(value, header), read, _find_raw(value, header))
    if image.age or image.born:
        with of_key(header, "[image]", "age, born or studied"):
            fields["age_years"] = _compile_age(image, header, meanings)
    return fields


def _compile_age(image: ImageSpec, header: Header, meanings: DoubleMeanings) -> Field:
    """The age, from its column or else from the dates."""
    get_age, get_born, get_studied = (
        compile_raw(value, header) for value in (image.age, image.born, image.studied)
    )

    def read_age(text: str) -> Reading[float | None]:
        meanings.add_age(text)
        return parse_age(text, unit=image.age_unit)

    def read_all(texts: tuple[str, str, str]) -> Reading[float | None]:
        given, exact = read_age(texts[0])
        if given is not None:
            return Reading(given, exact)
        found, also_exact = parse_age_between(*texts[1:])
        return Reading(found, exact and also_exact)

    if not image.born:
        return Field(get_age, Remembered(read_age).__getitem__, _find_raw(image.age, header))
    return Field(
        lambda cells: (get_age(cells), get_born(cells), get_studied(cells)),
        Remembered(read_all).__getitem__,
        _find_raw((*image.age, *image.studied), header),
    )


def _find_raw(value: Value, header: Header) -> tuple[tuple[str, int], ...]:
    """The columns whose text is kept if the value is not exact."""
    columns = dict.fromkeys(name for template in value for name in template.columns)
    places = ((name, header.find(name)) for name in columns if not is_identifying(name))
    return tuple((name, index) for name, index in places if index is not None)


def _read_subject(text: str) -> Reading[str]:
    text = clean(text)
    if drop_from_text(text, "") != text:
        return Reading("", exact=False)
    is_good = len(text) <= MAX_SUBJECT_ID and (text.isprintable() or not _CONTROL.search(text))
    return Reading(text) if is_good else Reading("", exact=False)


def _read_stored_url(text: str) -> Reading[str]:
    """An address, or a path in the dataset's storage."""
    text = clean(text)
    if "://" in text or not text:
        return _read_url(text)
    try:
        return Reading(check_relative_path(text))
    except UnsafePath:
        return Reading("", exact=False)


def _read_url(text: str) -> Reading[str]:
    text = clean(text)
    is_good = not text or (len(text) <= MAX_URL and _URL.fullmatch(text))
    return Reading(text) if is_good else Reading("", exact=False)
