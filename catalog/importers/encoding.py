"""An image row as a line of COPY's text format, checked on the way.

Every row of an import is encoded here, up to a million of them. Good rows are encoded without any
exception; a bad row is checked again to find out what is wrong.
"""

import re
from collections.abc import Mapping
from dataclasses import astuple
from typing import NamedTuple

from catalog.bulk.copy_text import escape_field
from catalog.imaging.paths import UnsafePath, check_relative_path
from catalog.importers.compact_json import dump_json
from catalog.importers.room import MAX_METADATA, say_too_long
from catalog.importers.rows import BadRow, ImageRow, ImportReport, LabelRow
from catalog.importers.term_words import Words
from catalog.importers.terms import (
    BadWord,
    GivenLabel,
    ImageWords,
    LabelSet,
    is_storable,
    is_text,
    metadata_of_label,
)
from catalog.limits import (
    MAX_AGE_YEARS,
    MAX_FILE_PATH,
    MAX_IMAGE_BYTES,
    MAX_INTEGER,
    MAX_SOURCE_ID,
    MAX_SUBJECT_ID,
    MAX_URL,
    is_age,
)
from catalog.models import Finding, Sex

# The columns of a line, in their order, with their types.
LINE: Mapping[str, str] = {
    "source_id": "text",
    "file_path": "text",
    "remote_url": "text",
    "subject_id": "text",
    "metadata_json": "jsonb",
    "modality_id": "bigint",
    "area_id": "bigint",
    "license_id": "bigint",
    "view_id": "bigint",
    "sex": "text",
    "age_years": "double precision",
    "width": "integer",
    "height": "integer",
    "size_bytes": "bigint",
    "sha256": "text",
    "crc32": "bigint",
    "mtime_ns": "bigint",
    "num_files": "integer",
    # Those of an image that has several here: arrays of the values in FILE.
    "files": "jsonb",
    "identifying": "text[]",
    # The labels, ascending by id, and those that are positive.
    "label_ids": "bigint[]",
    "findings": "text[]",
    "confidences": "double precision[]",
    "label_metadata": "jsonb[]",
    "positive_ids": "bigint[]",
    "n": "bigint",
    "line": "bigint",
}
FILE: Mapping[str, str] = {
    "path": "text",
    "name": "text",
    "size_bytes": "bigint",
    "sha256": "text",
    "crc32": "bigint",
    "mtime_ns": "bigint",
}
URL_SCHEMES = ("s3://", "https://", "http://", "gs://", "ftp://")
_SEXES = frozenset({"", *Sex.values})
# An escaped NUL in JSON, which PostgreSQL cannot store; the backslash may itself be escaped.
_JSON_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
MAX_KNOWN_SETS = 50_000
# So many words are counted for the report, and so long one may be.
MAX_UNKNOWN_WORDS = 10_000
MAX_WORD = 1_000
# So many combinations of values are remembered, as most images have one of a few.
MAX_KNOWN_VALUES = 10_000
# Unknown words of these vocabularies are kept in the metadata.
_KEPT = ("license", "area", "modality")
_MAPPINGS = (dict, Mapping)
_POSITIVE = Finding.POSITIVE.value


class EncodedLabels(NamedTuple):
    """The label columns of a line, and the names of labels that are new to the vocabulary."""

    text: str
    new_names: tuple[str, ...]


class EncodedTerms(NamedTuple):
    """The columns of terms of a line.

    ``area_id`` is the area of the image, or of its dataset where it gives none; None where its word
    is not understood. ``unknown`` are the words without a term, by vocabulary, as they are
    reported; ``kept`` are those that are kept in the metadata.
    """

    text: str
    area_id: int | None
    unknown: tuple[tuple[str, str], ...]
    kept: Mapping[str, str]


NO_LABELS = EncodedLabels("\t".join([r"\N"] * 5), ())


class RowEncoder:
    """Turns rows into lines and their words into ids, and counts unknown words.

    ``area_id`` is the dataset's area: an image stores an area only if it differs. ``has_files``
    says whether a row that was encoded has a file, ``has_many_files`` whether one has several.
    """

    def __init__(
        self,
        words: ImageWords,
        *,
        area_id: int | None,
        report: ImportReport,
    ) -> None:
        self._words: Mapping[str, Words] = {
            "modality": words.modalities,
            "area": words.areas,
            "license": words.licenses,
            "view": words.views,
        }
        self._labels = words.labels
        self._area_id = area_id
        self._report = report
        report.renamed_labels = words.labels.renamed
        report.labels_elsewhere = words.labels.elsewhere
        self._label_texts = _LabelTexts()
        # By their area, too.
        self._sets: dict[tuple[int | None, tuple[LabelRow, ...]], EncodedLabels | BadWord] = {}
        self._terms: dict[tuple[str, ...], EncodedTerms] = {}
        # The columns of sex, age and size, of values that were found to be good.
        self._known: dict[tuple[object, ...], str] = {}
        self.has_files = self.has_many_files = False

    def encode(self, row: ImageRow, number: int) -> str | BadRow:
        """The row's line, or a BadRow; ``number`` is the number of the row in the source.

        Raises:
            ManyNewLabels: see ``LabelWords``.
        """
        values = (row.sex, row.age_years, row.width, row.height)
        known = self._known.get(values)
        problem = find_problem(row) if known is None else find_problem_besides_known(row)
        if problem:
            return _reject(row, *problem)
        words = (row.modality, row.area, row.license, _view_of(row))
        terms = self._terms.get(words) or self._encode_terms(*words)
        labels = self._encode_labels(row.labels, terms.area_id) if row.labels else NO_LABELS
        if isinstance(labels, BadWord):
            return _reject(row, "labels", *labels)
        text = encode_text(row, terms.kept)
        if isinstance(text, BadRow):
            return text
        if terms.unknown or labels.new_names:
            for vocabulary, word in terms.unknown:
                self._count_unknown(vocabulary, word)
            self._report.new_labels.update(labels.new_names)
        self.has_files = self.has_files or bool(row.file_path)
        self.has_many_files = self.has_many_files or bool(row.files)
        if known is None:
            known = "\t".join([row.sex, *map(_null, values[1:])])
            if len(self._known) < MAX_KNOWN_VALUES:
                self._known[values] = known
        return (
            f"{text}\t{terms.text}\t{known}\t{_encode_file(row)}\t{labels.text}\t"
            f"{number}\t{row.line}\n"
        )

    def _encode_terms(self, *words: str) -> EncodedTerms:
        """The columns of the words for modality, area, licence and view, in this order."""
        given = dict(zip(self._words, words, strict=True))
        ids = {name: self._words[name][word] for name, word in given.items()}
        # Of a word that is not understood none: it may be another part of the body.
        area_id = ids["area"] if given["area"] else self._area_id
        if ids["area"] == self._area_id:
            ids["area"] = None
        unknown = {n: word for n, word in given.items() if self._words[n].is_unknown(word)}
        terms = EncodedTerms(
            "\t".join(map(_null, ids.values())),
            area_id,
            tuple((name, self._words[name].describe(word)) for name, word in unknown.items()),
            {name: unknown[name] for name in _KEPT if name in unknown},
        )
        if len(self._terms) < MAX_KNOWN_VALUES and sum(map(len, words)) <= MAX_WORD:
            self._terms[words] = terms
        return terms

    def _count_unknown(self, vocabulary: str, word: str) -> None:
        known = self._report.unknown_words
        if len(known) < MAX_UNKNOWN_WORDS or (vocabulary, word) in known:
            known[vocabulary, word] += 1

    def _encode_labels(
        self, rows: tuple[LabelRow, ...], area_id: int | None
    ) -> EncodedLabels | BadWord:
        """Cached, as sets of labels recur unless each image has its own confidences."""
        asked = (area_id, rows)
        known = self._sets.get(asked)
        if known is None:
            if len(self._sets) >= MAX_KNOWN_SETS:
                self._sets.clear()
            found = self._labels.resolve(rows, area_id)
            if isinstance(found, LabelSet):
                known = EncodedLabels(
                    encode_labels(found.labels, self._label_texts), found.new_names
                )
            else:
                known = found
            self._sets[asked] = known
        return known


def _view_of(row: ImageRow) -> str:
    """The word for the view of a row, or else of its file: DICOM's View Position (0018,5101)."""
    if row.view or not isinstance(row.metadata, _MAPPINGS):
        return row.view
    word = row.metadata.get("ViewPosition", "")
    return word if isinstance(word, str) else ""


def find_problem(row: ImageRow) -> tuple[str, object, str] | None:
    """The column, value and reason of a value that the catalog cannot store, or None."""
    return find_problem_besides_known(row) or _find_problem_of_known(row)


def _find_problem_of_known(row: ImageRow) -> tuple[str, object, str] | None:
    """The same for the values that recur: sex, age, width and height."""
    if row.sex not in _SEXES:
        return "sex", row.sex, "Sex is F, M, O or empty."
    age = row.age_years
    if age is not None and not (isinstance(age, float | int) and is_age(age)):
        return "age_years", age, f"An age is a number of years from 0 to {MAX_AGE_YEARS}."
    if not (_fits(row.width, 1, MAX_INTEGER) and _fits(row.height, 1, MAX_INTEGER)):
        size = f"{row.width} x {row.height}"
        return "width, height", size, "Width and height are whole numbers of pixels from 1."
    return None


def find_problem_besides_known(row: ImageRow) -> tuple[str, object, str] | None:
    """The same for a row whose sex, age, width and height are known to be good."""
    if not 0 < len(row.source_id) <= MAX_SOURCE_ID:
        return "source_id", row.source_id, f"An id has 1 to {MAX_SOURCE_ID} characters."
    if len(row.subject_id) > MAX_SUBJECT_ID:
        return "subject_id", row.subject_id, f"It has more than {MAX_SUBJECT_ID} characters."
    if len(row.modality) + len(row.area) + len(row.license) + len(row.view) > MAX_WORD:
        return "modality, area, license, view", "", f"They have more than {MAX_WORD:,} characters."
    url = row.remote_url
    if url and (len(url) > MAX_URL or not url.startswith(URL_SCHEMES)):
        schemes = " or ".join(URL_SCHEMES)
        return (
            "remote_url",
            url,
            f"A URL has at most {MAX_URL} characters and begins with {schemes}.",
        )
    if not _fits(row.size_bytes, 0, MAX_IMAGE_BYTES):
        return (
            "size_bytes",
            row.size_bytes,
            f"A size is a whole number of bytes up to {MAX_IMAGE_BYTES:,}.",
        )
    return _find_problem_of_file(row) if row.file_path else None


def _find_problem_of_file(row: ImageRow) -> tuple[str, object, str] | None:
    path = row.file_path
    if len(path) > MAX_FILE_PATH:
        return "file_path", path, f"It has more than {MAX_FILE_PATH} characters."
    try:
        check_relative_path(path)
    except UnsafePath as error:
        return "file_path", path, str(error)
    if row.facts is None:
        return "file_path", path, "The file has not been read, so its content cannot be verified."
    return None


def _fits(value: int | None, least: int, most: int) -> bool:
    return value is None or (isinstance(value, int) and least <= value <= most)


def encode_text(row: ImageRow, kept: Mapping[str, str]) -> str | BadRow:
    """The text columns of a line; its metadata also have what is ``kept`` of its terms."""
    metadata = row.metadata
    try:
        if kept or not isinstance(metadata, dict):
            metadata = {**kept, **metadata}
        dumped = dump_json(metadata)
    except (TypeError, ValueError, RecursionError) as error:
        return _reject(row, "metadata", "", f"It cannot be stored as JSON: {error}.")
    if len(dumped) > MAX_METADATA:
        return _reject(row, "metadata", "", say_too_long(len(dumped)))
    fields = (row.source_id, row.file_path, row.remote_url, row.subject_id, dumped)
    text = "\t".join(fields)
    # One check of the whole line is faster than escaping each column.
    has_nul = "\0" in text
    if "\\" in text or "\n" in text or "\r" in text or text.count("\t") != 4:
        has_nul = has_nul or _JSON_NUL.search(dumped) is not None
        text = "\t".join([escape_field(value) for value in fields])
    if has_nul or not (text.isascii() or is_text(text)):
        return _reject(row, *_find_bad_text(row, dumped))
    return text


def _find_bad_text(row: ImageRow, dumped: str) -> tuple[str, str, str]:
    for column in ("source_id", "file_path", "remote_url", "subject_id"):
        value = getattr(row, column)
        if not is_storable(value):
            return column, value, "It contains a NUL or half a character. Check the encoding."
    return "metadata", dumped, "It contains a NUL or half a character. Check the encoding."


def _encode_file(row: ImageRow) -> str:
    """The columns of the image's files, from their size to ``identifying``."""
    facts = row.facts
    if facts is None or not row.file_path:
        of_file = f"{_null(row.size_bytes)}\t\t\\N\t\\N"
    else:
        of_file = f"{facts.size_bytes}\t{facts.sha256}\t{facts.crc32}\t{facts.mtime_ns}"
    files = _encode_files(row) if row.files else r"\N"
    identifying = r"\N"
    if row.file_path and row.identifying is not None:
        # Keywords of DICOM, which need no quotes in an array.
        identifying = f"{{{','.join(row.identifying)}}}"
    return f"{of_file}\t{row.num_files}\t{files}\t{identifying}"


def _encode_files(row: ImageRow) -> str:
    values = [[path, name, *astuple(facts)] for path, name, facts in row.files]
    return escape_field(dump_json(values))


class _LabelTexts(dict[GivenLabel, tuple[str, ...]]):
    """The elements of a label in the arrays of a line, except in that of the positive labels."""

    def __missing__(self, label: GivenLabel) -> tuple[str, ...]:
        confidence = "NULL" if label.confidence is None else str(label.confidence)
        metadata = escape_field(_quote(dump_json(metadata_of_label(label))))
        texts = (str(label.label_id), label.finding, confidence, metadata)
        if label.confidence is None:  # else there may be as many as there are images
            self[label] = texts
        return texts


def encode_labels(labels: tuple[GivenLabel, ...], texts: _LabelTexts) -> str:
    """The label columns of a line, as arrays of equal length."""
    elements = [texts[label] for label in labels]
    positive = [each[0] for each in elements if each[1] == _POSITIVE]
    return "\t".join(
        [f"{{{','.join(column)}}}" for column in (*zip(*elements, strict=True), positive)]
    )


def _quote(element: str) -> str:
    escaped = element.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _null(value: float | None) -> str:
    return r"\N" if value is None else str(value)


def _reject(row: ImageRow, column: str, value: object, reason: str) -> BadRow:
    shown = str(value).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return BadRow(row.line, column, shown[:200], reason, source_id=row.source_id)
