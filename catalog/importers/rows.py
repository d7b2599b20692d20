"""The rows that every source yields to the pipeline, and the report of an import."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from catalog.imaging.paths import FileFacts


class SourceError(Exception):
    """A source that cannot be read; the message names the file and says what to do."""


class LabelRow(NamedTuple):
    """A label in the source's own word, or by code.

    ``finding`` is positive, uncertain or negative; ``confidence`` is between 0 and 1 if the source
    gives one.
    """

    word: str
    finding: str = "positive"
    confidence: float | None = None


@dataclass(slots=True)
class ImageRow:
    """One image of a source; sizes in pixels and bytes, age in years.

    ``modality``, ``area`` and ``license`` are the source's words or codes, resolved through the
    vocabularies; an image without a licence of its own has the dataset's.
    ``line`` is the row's line in its table, from 1; 0 without a table. The pipeline reads missing
    ``facts`` of a local file.
    """

    source_id: str
    line: int = 0
    file_path: str = ""
    facts: FileFacts | None = None
    size_bytes: int | None = None
    remote_url: str = ""
    modality: str = ""
    area: str = ""
    license: str = ""
    subject_id: str = ""
    sex: str = ""
    age_years: float | None = None
    width: int | None = None
    height: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[LabelRow, ...] = ()


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read: its line, the wrong column with its value, and the reason.

    ``reason`` also says what to do. If ``source_id`` is known, that image is not removed.
    """

    line: int
    column: str
    value: str
    reason: str
    source_id: str = ""


class Source(Protocol):
    """One dataset of a publisher: its description and its images.

    ``entry`` has the fields of ``catalog.importers.dataset_entries``. ``num_rows`` is used only for
    the progress bar and the limit on bad rows; None if it is not known in advance.
    """

    entry: Mapping[str, Any]
    num_rows: int | None

    def rows(self) -> Iterator[ImageRow | BadRow]: ...


@dataclass(slots=True)
class ImportReport:
    """The result of an import, in numbers of images.

    ``nameless`` is the number of rejected rows without a source id; if there are any, no image is
    removed. ``new_labels`` are words that were added as inactive labels, with their numbers of
    images; ``unknown_words`` are (vocabulary, word) pairs without a term.
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
