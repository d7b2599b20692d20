"""The rows that every source yields to the pipeline, and the report of an import."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from catalog.imaging.paths import FileFacts
from catalog.imaging.problems import FileProblem

BURNED_IN, _TRANSFER_SYNTAX = "BurnedInAnnotation", "TransferSyntaxUID"


class SourceError(Exception):
    """A source that cannot be read; the message names the file and says what to do."""


class ImportStopped(Exception):
    """An import stopped and changed nothing; the message says why and what to do."""


class LabelRow(NamedTuple):
    """A label in the source's own word, or by code.

    ``finding`` is positive, uncertain or negative; ``confidence`` is between 0 and 1 if the source
    gives one.
    """

    word: str
    finding: str = "positive"
    confidence: float | None = None


class Slice(NamedTuple):
    """Which series a file belongs to, and its place there, as its DICOM header says.

    ``position`` (x, y, z) is in mm, and ``orientation`` the direction cosines of a row and of a
    column; both are () if they are not stated. ``number`` is the Instance Number.
    """

    study_uid: str
    series_uid: str
    position: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    number: int | None = None


class FileRow(NamedTuple):
    """One of the files of an image that has several; ``name`` is that in archives."""

    path: str
    name: str
    facts: FileFacts


@dataclass(slots=True)
class ImageRow:
    """One image of a source; sizes in pixels and bytes, age in years.

    ``modality``, ``area``, ``license`` and ``view`` are the source's words or codes, resolved
    through the vocabularies; an image without a licence of its own has the dataset's, and one
    without a view that of its file's header, if there is one.
    ``line`` is the row's line in its table, from 1; 0 without a table. The pipeline reads missing
    ``facts`` of a local file, and opens the file unless the source did (``is_opened``).

    ``problem`` is what is wrong with the file, and its path; ``sop_uid`` is DICOM's SOP Instance
    UID, which is not stored. ``unread`` are values that were not understood, so that their field
    is unknown, as pairs of field and text; ``conflicts`` are those of rows that contradict it.
    ``identifying`` are the attributes of its DICOM file that tell who somebody is; None if it was
    not read for them. ``mask`` says by what the file is taken for a mask, not a picture of its own.

    ``beside`` are the paths of further files of the image, in the folder of the first. A file with
    ``slice`` becomes a part of the image that is its series. ``files`` are those of an
    image that has several here, in their order; ``file_path`` is then one of them, and ``facts``
    are of all together.
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
    view: str = ""
    subject_id: str = ""
    sex: str = ""
    age_years: float | None = None
    width: int | None = None
    height: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[LabelRow, ...] = ()
    is_opened: bool = False
    sop_uid: str = ""
    problem: tuple[FileProblem, str] | None = None
    unread: tuple[tuple[str, str], ...] = ()
    conflicts: "tuple[BadRow, ...]" = ()
    mask: str = ""
    identifying: tuple[str, ...] | None = None
    num_files: int = 1
    beside: tuple[str, ...] = ()
    slice: Slice | None = None
    files: tuple[FileRow, ...] = ()


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


class FileNote(NamedTuple):
    """A file that asks for attention: why, its row in a table (0 if none), and what to do.

    ``others`` are files or images that it has to do with, in words.
    """

    problem: str
    file: str
    line: int
    others: str
    remedy: str


class Source(Protocol):
    """One dataset of a publisher: its description and its images.

    ``entry`` has the fields of ``catalog.importers.dataset_entries``. ``num_rows`` is used only for
    the progress bar and the limit on bad rows; None if it is not known in advance.
    """

    entry: Mapping[str, Any]
    num_rows: int | None

    def rows(self) -> Iterator[ImageRow | BadRow]: ...


@runtime_checkable
class FiledSource(Source, Protocol):
    """A source that reads files, such as tables, which are no images whatever its rows name."""

    own_paths: Sequence[Path]


MAX_EXAMPLES = 3


@dataclass(slots=True)
class Examples:
    """How often something was found, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.first) < MAX_EXAMPLES:
            self.first.append(name)


@dataclass(slots=True)
class SameBytes:
    """Images of an import whose files have the same bytes as that of another image.

    ``within`` counts images with copies in this dataset, ``across_splits`` those of them whose
    copies are in several splits. ``elsewhere`` has, by the slugs of other datasets, the number of
    images with a copy there, and an example.
    """

    within: int = 0
    across_splits: int = 0
    examples: list[str] = field(default_factory=list)
    elsewhere: dict[str, tuple[int, str]] = field(default_factory=dict)


@dataclass(slots=True)
class Unread:
    """The values of one field that were not understood: of how many images, and some of them."""

    MOST_EXAMPLES: ClassVar[int] = 1_000
    LONGEST: ClassVar[int] = 200

    num_images: int = 0
    examples: Counter[str] = field(default_factory=Counter)

    def add(self, text: str) -> None:
        self.num_images += 1
        text = text[: self.LONGEST]
        if text in self.examples or len(self.examples) < self.MOST_EXAMPLES:
            self.examples[text] += 1


@dataclass(slots=True)
class ImportReport:
    """The result of an import, in numbers of images.

    ``before`` is the number of images that the dataset had. ``nameless`` is the number of rejected
    rows without a source id; if there are any, no image is removed. ``new_labels`` are words that
    are inactive labels, added now or by an earlier import, with their numbers of images;
    ``renamed_labels`` are the names of labels by the words that are aliases of them, and
    ``labels_elsewhere`` what words that were not read so mean in images of other areas;
    ``unknown_words`` are (vocabulary, word) pairs without a term. ``rejected_for`` are the values
    for which rows were rejected, by column. ``unread`` are values that were not understood, by
    field; ``conflicts`` the numbers of images by the field in which the rows of one image
    contradict each other. ``kinds`` are the numbers of what the dataset has after the import, by
    kind. ``file_problems`` has files by what is wrong with them. ``copies`` are
    files left out because they repeat a DICOM instance byte for byte; ``shared_uids`` are those
    that differ under one SOP Instance UID. ``masks`` has files by what says that they are masks.
    ``series`` are images made of several files, ``series_files`` the number of these files, and
    ``not_volumes`` has those that are not one volume, by the reason.
    ``identifying`` are DICOM files that tell who somebody is, and ``identifying_by`` counts them by
    attribute; ``burned_in`` are those that say that text is burnt into their pixels.
    """

    slug: str = ""
    before: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    rejected: int = 0
    nameless: int = 0
    missing_files: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    new_labels: Counter[str] = field(default_factory=Counter)
    renamed_labels: dict[str, str] = field(default_factory=dict)
    labels_elsewhere: dict[str, str] = field(default_factory=dict)
    unknown_words: Counter[tuple[str, str]] = field(default_factory=Counter)
    file_problems: dict[FileProblem, Examples] = field(default_factory=dict)
    copies: Examples = field(default_factory=Examples)
    shared_uids: Examples = field(default_factory=Examples)
    masks: defaultdict[str, Examples] = field(default_factory=lambda: defaultdict(Examples))
    series: int = 0
    series_files: int = 0
    not_volumes: defaultdict[str, Examples] = field(default_factory=lambda: defaultdict(Examples))
    identifying: Examples = field(default_factory=Examples)
    identifying_by: Counter[str] = field(default_factory=Counter)
    burned_in: Examples = field(default_factory=Examples)
    same_bytes: SameBytes = field(default_factory=SameBytes)
    rejected_for: defaultdict[str, Unread] = field(default_factory=lambda: defaultdict(Unread))
    unread: defaultdict[str, Unread] = field(default_factory=lambda: defaultdict(Unread))
    conflicts: Counter[str] = field(default_factory=Counter)


def join_metadata(file: Mapping[str, Any], source: Mapping[str, Any]) -> Mapping[str, Any]:
    """What both say of an image. The source's words count, but where the file has burnt-in text.

    A transfer syntax is that of a DICOM file: of another file it gets another name.
    """
    found = {**file, **source} if file else source
    if _TRANSFER_SYNTAX in source and _TRANSFER_SYNTAX not in file:
        found = {**found, f"{_TRANSFER_SYNTAX} of the table": found[_TRANSFER_SYNTAX]}
        del found[_TRANSFER_SYNTAX]
    said = {str(each.get(BURNED_IN, "")).upper() for each in (file, source)}
    return {**found, BURNED_IN: "YES"} if "YES" in said else found
