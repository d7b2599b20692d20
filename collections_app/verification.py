"""Proving an archive that somebody has, by what it says of itself and by the catalog.

Nothing that stands in it is believed: it may be damaged, or made to do harm. Its texts are read in
pieces, its rows a few thousand at a time, and whatever is wrong with it becomes a sentence.
"""

import csv
import json
import os
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from catalog.batches import in_batches
from catalog.models import Image
from collections_app.archive.directory import BadArchive, find_directory, iter_records
from collections_app.archive.facts import Facts, Flags, RowLines, iter_lines
from collections_app.archive.verify import (
    MAX_PROBLEMS,
    ArchiveReader,
    CheckedEntry,
    iter_contents,
)
from collections_app.models import Collection

BATCH = 2000
MAX_LINE = 1 << 16
MAX_ROW = 1 << 18
"""Characters of a row of metadata.csv, however many lines it takes."""
MAX_CELL = 1 << 10
"""Characters of a cell that is looked up, and bytes of a line of SHA256SUMS: a whole batch of them
is held at once. The longest name that an archive may have is less than half of it."""
MAX_RECORD = 8 << 20
"""Bytes of collection.json; parsed it may take thirty times as many."""
SUMS, METADATA, RECORD = "SHA256SUMS", "metadata.csv", "collection.json"
IMAGES = "images/"
_SUM = re.compile(r"([0-9a-f]{64})  (.+)\n", re.DOTALL)
_COLUMNS = ("file_name", "dataset", "source_id", "size_bytes", "sha256")
_FINGERPRINT = re.compile("[0-9a-f]{64}")

BytesCallback = Callable[[int], None]
Row = dict[str, str]


@dataclass(slots=True)
class Findings:
    """What was proven of an archive, or the first problems and the number of all.

    ``size`` in bytes; ``sha256`` is the whole file's, empty if it could not be read to its end.
    ``num_in_catalog`` is None unless the catalog was asked.
    """

    size: int = 0
    sha256: str = ""
    num_entries: int = 0
    num_images: int = 0
    fingerprint: str = ""
    num_in_catalog: int | None = None
    num_collections: int | None = None
    problems: list[str] = field(default_factory=list)
    num_problems: int = 0

    def add(self, problem: str) -> None:
        """Names of a stranger's archive stand in it: what is no plain character is escaped."""
        self.num_problems += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(escape(problem))


def escape(text: str) -> str:
    """The text with nothing in it that steers a terminal or begins a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def verify_file(
    path: Path, *, with_catalog: bool = False, on_bytes: BytesCallback | None = None
) -> Findings:
    """Read an archive and hold it against its own lists, and against the catalog if asked.

    ``on_bytes`` is called with the number of bytes read, every MiB.

    Raises:
        OSError: there is no such file, or it cannot be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            findings = Findings()
            findings.add("it is not a file")
            return findings
        return _Verification(fd, on_bytes).run(with_catalog=with_catalog)
    finally:
        os.close(fd)


class _Verification:
    def __init__(self, fd: int, on_bytes: BytesCallback | None) -> None:
        self._fd = fd
        self._reader = ArchiveReader(fd, on_bytes=on_bytes)
        self._facts = Facts()
        self._texts: dict[str, CheckedEntry] = {}
        self._prefix = ""
        self.findings = Findings()

    def run(self, *, with_catalog: bool) -> Findings:
        findings, reader = self.findings, self._reader
        for entry in reader.entries():
            self._take(entry)
        findings.size, findings.sha256 = reader.size, reader.sha256
        findings.num_entries = reader.num_entries
        for problem in reader.problems:
            findings.add(problem)
        findings.num_problems += reader.num_problems - len(reader.problems)
        if reader.sha256:
            self._facts.sort()
            self._read_list(SUMS, self._check_sums)
            self._read_list(RECORD, self._check_record)
            findings.num_in_catalog = 0 if with_catalog else None
            self._read_list(METADATA, self._check_metadata)
            if with_catalog and findings.fingerprint:
                same = Collection.objects.filter(fingerprint=findings.fingerprint)
                findings.num_collections = same.count()
        return findings

    def _take(self, entry: CheckedEntry) -> None:
        if not self._prefix:
            self._prefix = entry.name.partition("/")[0] + "/"
        name = entry.name.removeprefix(self._prefix)
        if name == entry.name:
            self.findings.add(f"{name}: it lies outside of the folder {self._prefix}")
        if entry.fault:
            self.findings.add(f"{entry.name}: {entry.fault}")
        elif name in (SUMS, METADATA, RECORD):
            self._texts[name] = entry
        self.findings.num_images += name.startswith(IMAGES)
        self._facts.add(name, entry.size, entry.sha256)

    def _read_list(self, name: str, check: Callable[[CheckedEntry], None]) -> None:
        entry = self._texts.get(name)
        if entry is None:
            if self._facts.find([name]) == [-1]:
                self.findings.add(f"there is no {name}")
            return  # what is wrong with it has been said
        try:
            check(entry)
        except (ValueError, csv.Error, RecursionError, BadArchive) as error:
            self.findings.add(f"{name}: it cannot be understood: {error}")

    def _lines(self, entry: CheckedEntry, limit: int) -> Iterator[str]:
        for line in iter_lines(iter_contents(self._fd, entry), limit=limit):
            yield line.decode()

    # --- SHA256SUMS ---
    def _check_sums(self, entry: CheckedEntry) -> None:
        listed = self._facts.flags()
        for batch in in_batches(map(_parse_sum, self._lines(entry, MAX_CELL)), BATCH):
            numbers = self._facts.find([name for _, name in batch])
            for (sha256, name), number in zip(batch, numbers, strict=True):
                self._tick(SUMS, name, number, listed)
                if number >= 0 and self._facts.sha256(number) != sha256:
                    self.findings.add(f"{name}: its contents are not those that {SUMS} has")
        listed[self._facts.find([SUMS])] = True
        self._name_unlisted(SUMS, listed)

    def _tick(self, where: str, name: str, number: int, listed: Flags) -> None:
        if number < 0:
            self.findings.add(f"{name}: it is in {where}, but not in the archive")
        elif listed[number]:
            self.findings.add(f"{name}: it is in {where} twice")
        else:
            listed[number] = True

    def _name_unlisted(self, where: str, listed: Flags, *, only: str = "") -> None:
        """The table knows no names: the directory is read once more for them."""
        if listed.all():
            return
        records = iter_records(self._fd, find_directory(self._fd))
        for record, is_listed in zip(records, listed, strict=True):
            name = record.header.name.decode(errors="backslashreplace")
            name = name.removeprefix(self._prefix)
            if not is_listed and name.startswith(only):
                self.findings.add(f"{name}: it is not in {where}")

    # --- collection.json ---
    def _check_record(self, entry: CheckedEntry) -> None:
        if entry.size > MAX_RECORD:
            raise ValueError(f"it is larger than {MAX_RECORD:,} bytes")
        record = json.loads(b"".join(iter_contents(self._fd, entry)))
        if not isinstance(record, dict):
            raise ValueError("it is not an object")
        fingerprint = record.get("fingerprint")
        if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
            raise ValueError("it has no fingerprint")
        self.findings.fingerprint = fingerprint
        if record.get("num_files") != self.findings.num_images:
            self.findings.add(
                f"{RECORD}: it says {record.get('num_files')} files, but there are "
                f"{self.findings.num_images:,}"
            )

    # --- metadata.csv ---
    def _check_metadata(self, entry: CheckedEntry) -> None:
        # What is no image needs no row.
        listed = self._facts.flags()
        for batch in in_batches(_iter_rows(self._lines(entry, MAX_LINE)), BATCH):
            numbers = self._facts.find([row["file_name"] for row in batch])
            for row, number in zip(batch, numbers, strict=True):
                self._tick(METADATA, row["file_name"], number, listed)
                if number >= 0:
                    self._compare_row(row, number)
            if self.findings.num_in_catalog is not None:
                self._ask_catalog(batch)
        self._name_unlisted(METADATA, listed, only=IMAGES)

    def _compare_row(self, row: Row, number: int) -> None:
        name, facts = row["file_name"], self._facts
        if row["sha256"] != facts.sha256(number):
            self.findings.add(f"{name}: its contents are not those that {METADATA} has")
        if row["size_bytes"] != str(facts.size(number)):
            self.findings.add(
                f"{name}: {METADATA} says {row['size_bytes']} bytes, it has {facts.size(number):,}"
            )

    def _ask_catalog(self, rows: list[Row]) -> None:
        known = _known_files(rows)
        for row in rows:
            found = known.get((row["dataset"], row["source_id"]))
            whose = f"{row['file_name']}: the catalog"
            if found is None:
                self.findings.add(
                    f"{whose} has no image {row['source_id']} in the dataset {row['dataset']}"
                )
            elif row["sha256"] != found:
                self.findings.add(f"{whose} has {'another' if found else 'no'} file for it now")
            else:
                self.findings.num_in_catalog = (self.findings.num_in_catalog or 0) + 1


def _known_files(rows: list[Row]) -> dict[tuple[str, str], str]:
    """SHA-256 by dataset and id as cells have them, as far as the catalog knows these images."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        # A cell that a spreadsheet would run has an apostrophe before it.
        ids = {row["source_id"], row["source_id"].removeprefix("'")}
        wanted[row["dataset"]] |= {source_id for source_id in ids if "\0" not in source_id}
    known: dict[tuple[str, str], str] = {}
    for slug, ids in wanted.items():
        images = Image.objects.filter(dataset__slug=slug.replace("\0", ""), source_id__in=ids)
        for source_id, sha256 in images.order_by().values_list("source_id", "sha256"):
            known[slug, source_id] = sha256
            known.setdefault((slug, f"'{source_id}"), sha256)
    return known


def _parse_sum(line: str) -> tuple[str, str]:
    match = _SUM.fullmatch(line)
    if not match:
        raise ValueError(f"this is no line of checksums: {line[:80]!r}")
    return match[1], match[2]


def _iter_rows(text: Iterator[str]) -> Iterator[Row]:
    lines = RowLines(text, limit=MAX_ROW)
    rows = csv.reader(lines, strict=True)
    columns = next(rows, [])
    places = {name: columns.index(name) for name in _COLUMNS if name in columns}
    if missing := [name for name in _COLUMNS if name not in places]:
        raise ValueError(f"it has no column {', '.join(missing)}")
    lines.begin_row()
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"row {rows.line_num:,} has {len(row)} cells, not {len(columns)}")
        wanted = {name: row[place] for name, place in places.items()}
        if max(map(len, wanted.values())) > MAX_CELL:
            name = max(wanted, key=lambda name: len(wanted[name]))
            raise ValueError(f"row {rows.line_num:,} has a {name} that is too long")
        yield wanted
        lines.begin_row()
