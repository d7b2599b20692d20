"""What every source hands to the pipeline: plain rows, away from the database. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from catalog.imaging.paths import FileFacts


class SourceError(Exception):
    """A source that cannot be read at all. The message names the file and says what to do."""


class LabelRow(NamedTuple):
    """A label in the source's own word (or by code).

    ``finding`` is positive, uncertain or negative; ``confidence`` lies between 0 and 1 where the
    source gives one.
    """

    word: str
    finding: str = "positive"
    confidence: float | None = None


@dataclass(slots=True)
class ImageRow:
    """One image of a source; sizes in pixels and bytes, age in years.

    ``modality`` and ``area`` are the source's words or codes, resolved through the vocabularies.
    ``line`` is where the row stands in its table, counted from 1, or 0. ``facts`` of a local file
    may be left to the pipeline, which reads them.
    """

    source_id: str
    line: int = 0
    file_path: str = ""
    facts: FileFacts | None = None
    size_bytes: int | None = None
    remote_url: str = ""
    modality: str = ""
    area: str = ""
    subject_id: str = ""
    sex: str = ""
    age_years: float | None = None
    width: int | None = None
    height: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[LabelRow, ...] = ()


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read: where it stands, which column is wrong, and why.

    ``reason`` is a sentence that also says what to do. ``source_id`` is given where it is known:
    such an image is not removed.
    """

    line: int
    column: str
    value: str
    reason: str
    source_id: str = ""


class Source(Protocol):
    """One dataset as it lies at its publisher's: what it is, and its images.

    ``entry`` has the fields of ``catalog.importers.published``. ``num_rows`` is for the progress
    bar alone, None where it is not known before the end.
    """

    entry: Mapping[str, Any]
    num_rows: int | None

    def rows(self) -> Iterator[ImageRow | BadRow]: ...


@dataclass(slots=True)
class ImportReport:
    """What an import did, in numbers of images.

    ``nameless`` counts the rejected rows that do not say which image they are of: because of them
    no image was removed. ``new_labels`` are words without a term, which were added inactive,
    with their numbers of images; ``unknown_words`` are (vocabulary, word) pairs that were left
    empty.
    """

    slug: str = ""
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    rejected: int = 0
    nameless: int = 0
    missing_files: int = 0
    new_labels: Counter[str] = field(default_factory=Counter)
    unknown_words: Counter[tuple[str, str]] = field(default_factory=Counter)
