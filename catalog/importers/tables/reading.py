"""Reads tables as rows of text with line numbers: CSV, TSV, JSON, Parquet.

CSV, TSV and JSON may be compressed with gzip or be in a ZIP, which is recognised by the first
bytes of a file, not by its name. Everything is streamed, so memory does not grow.
"""

import codecs
import csv
import gzip
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
from pydantic import AfterValidator

from catalog.imaging.paths import UnsafePath, open_beneath
from catalog.importers.rows import BadRow, SourceError
from catalog.importers.tables.code_pages import check_code_page
from catalog.importers.tables.delimited import iter_delimited, read_cells
from catalog.importers.tables.header_check import check_width
from catalog.importers.tables.json_array import is_array, iter_array
from catalog.importers.tables.json_lines import (
    MAX_COLUMNS,
    Item,
    find_keys,
    iter_json_lines,
    iter_objects,
    too_many_columns,
)
from catalog.importers.tables.lines import Lines, TableRow, show
from catalog.importers.tables.parquet import Leaves, find_leaves, find_whole_columns, iter_parquet
from catalog.importers.tables.parquet_limits import find_batch_size
from catalog.importers.tables.toml_section import Count, Section, Text, Texts, one_of
from catalog.importers.tables.unfolding import Unfolding

__all__ = ["FORMATS", "SourceError", "Table", "TableFormat", "TableRow"]

FORMATS = ("csv", "tsv", "jsonl", "parquet", "json")
_ENDINGS = {"csv": "csv", "tsv": "tsv", "tab": "tsv", "jsonl": "jsonl", "ndjson": "jsonl",
            "json": "json", "parquet": "parquet", "pq": "parquet", "txt": "csv"}  # fmt: skip
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_JSON = ("jsonl", "json")  # either may be one object a line, or an array of objects
# Excel understands a first line such as sep=; and other programs write it.
_SEP_LINE = re.compile(r'"?sep=([^"\r\n])"?[,;\t]*\s*', re.IGNORECASE)
_CHECKED_ROWS = 20
_OTHER_PACKERS = (("bzip2", b"BZh"), ("xz", b"\xfd7zX"), ("Zstandard", b"\x28\xb5\x2f\xfd"))


def _check_encodings(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > 2:
        raise ValueError("give one encoding, or two.")
    for name in names:
        if not _is_text_encoding(name):
            raise ValueError(f"there is no text encoding “{name}”.")
    return names or ("utf-8",)


def _is_text_encoding(name: str) -> bool:
    try:
        return bool(codecs.lookup(name)._is_text_encoding)
    except (LookupError, ValueError):
        return False


def _check_delimiter(text: str) -> str:
    if len(text) > 1 or text in ('"', "\n", "\r"):
        raise ValueError("give one character that is no quote.")
    return text


class TableFormat(Section):
    """How a table is to be read; what is empty is found out.

    `encoding`: a line that is not in the first is read in the second. `header` names the columns
    of a table that has no such line; `skip` lines stand before the header.
    """

    format: Annotated[Text, AfterValidator(one_of(FORMATS))] = ""
    encoding: Annotated[Texts, AfterValidator(_check_encodings)] = ("utf-8",)
    delimiter: Annotated[Text, AfterValidator(_check_delimiter)] = ""
    header: Texts = ()
    skip: Count = 0
    member: Text = ""


class Table:
    """A table below `folder`. All methods raise `SourceError` if it cannot be read."""

    def __init__(self, folder: Path, path: str, how: TableFormat) -> None:
        self.path = path
        self._folder, self._how = folder, how
        self._format = how.format or _guess_format(path)
        self._whole: frozenset[str] | None = None
        self._batch_size, self._leaves = 0, Leaves(None, set())  # of Parquet; not known yet
        with self._source_errors(), ExitStack() as stack:
            self._sep = self._find_sep(stack)
            self.header = self._check_header(self._read_header(stack))

    def rows(self) -> Iterator[TableRow | BadRow]:
        """The rows after the header, all of its length, without empty ones."""
        with self._source_errors(), ExitStack() as stack:
            if self._format == "parquet":
                file = self._open_parquet(stack)
                if self._whole is None:
                    self._whole = find_whole_columns(file, self._batch_size)
                yield from iter_parquet(file, self._whole, self._batch_size, self._leaves)
            elif self._format in _JSON:
                yield from iter_objects(self._open_objects(stack), self.header)
            else:
                lines = self._open_lines(stack)
                if not self._how.header:
                    read_cells(lines, self._delimiter)
                yield from iter_delimited(lines, len(self.header), self._delimiter)

    @property
    def place(self) -> Path:
        """Where the table's file is."""
        return self._folder / self.path

    @property
    def columns_of_files(self) -> frozenset[str]:
        """The columns of Parquet that have bytes of files, which are left out."""
        return frozenset(self._leaves.left_out)

    @property
    def _delimiter(self) -> str:
        return self._how.delimiter or self._sep or ("\t" if self._format == "tsv" else ",")

    @property
    def num_rows(self) -> int | None:
        """The number of rows if the file states it (Parquet)."""
        if self._format != "parquet":
            return None
        with self._source_errors(), ExitStack() as stack:
            return self._open_parquet(stack).metadata.num_rows

    # --- The header ---
    def _read_header(self, stack: ExitStack) -> list[str]:
        if self._format == "parquet":
            return list(self._open_parquet(stack).schema_arrow.names)
        if self._format in _JSON:
            return find_keys(self._open_objects(stack), self.path)
        lines = self._open_lines(stack)
        if self._how.header:
            cells, skip = list(self._how.header), 0
        else:
            cells, skip = self._read_names(lines), lines.number
        check_width(self.path, cells, self._peek(lines), skip)
        return cells

    def _read_names(self, lines: Lines) -> list[str]:
        cells = read_cells(lines, self._delimiter)
        if cells is None:
            raise SourceError(f"{self.path} is empty. Give a table with a line of column names.")
        if lines.flaw:
            raise SourceError(f"{self.path}, line {lines.number}: the header has {lines.flaw}.")
        return cells

    def _peek(self, lines: Lines) -> list[list[str]]:
        """The first rows, up to one that cannot be read, which `rows` reports."""
        found: list[list[str]] = []
        with suppress(csv.Error, SourceError):
            while len(found) < _CHECKED_ROWS and (cells := read_cells(lines, self._delimiter)):
                found.append(cells)
                lines.forget()
        return found

    def _check_header(self, names: list[str]) -> tuple[str, ...]:
        stripped = [name.strip() for name in names]
        named = [name for name in stripped if name]
        if not named:
            raise SourceError(
                f"{self.path} names no column. If it has no header line, name the columns in the "
                'description: header = ["id", "label"].'
            )
        if len(names) > MAX_COLUMNS:
            raise too_many_columns(self.path)
        for name, count in Counter(named).items():
            if count > 1:
                raise SourceError(
                    f"{self.path}: {count} columns are named “{show(name)}”. Rename them in the "
                    "table, or give it new names in the description: header = […] with skip = 1."
                )
        if self._format != "parquet" and not self._how.header:
            check_code_page(self.path, named, self._how.encoding)
        return tuple(stripped)

    # --- The file ---
    def _open_lines(self, stack: ExitStack) -> Lines:
        encoding, second = self._encodings
        lines = Lines(self._open_text(stack), name=self.path, encoding=encoding, second=second)
        for _ in islice(lines, self._how.skip or bool(self._sep)):
            lines.forget()
        return lines

    def _open_objects(self, stack: ExitStack) -> Iterator[Item]:
        text = self._open_text(stack)
        if not is_array(text):
            return iter_json_lines(self._open_lines(stack))
        encoding, second = self._encodings
        return iter_array(text, name=self.path, encoding=encoding, second=second)

    @property
    def _encodings(self) -> tuple[str, str]:
        first, *others = self._how.encoding
        return first, others[0] if others else ""

    def _find_sep(self, stack: ExitStack) -> str:
        """The delimiter that a first line such as `sep=;` gives, or ''."""
        if self._format not in ("csv", "tsv"):
            return ""
        found = _SEP_LINE.fullmatch(self._open_text(stack).readline(20))
        return found[1] if found else ""

    def _open_text(self, stack: ExitStack) -> io.TextIOWrapper:
        raw = stack.enter_context(open_beneath(self._folder, self.path))
        start = raw.read(4)
        raw.seek(0)
        file: Any = raw
        if start.startswith(b"\x1f\x8b"):
            packed = cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=raw, mode="rb")))
            file = Unfolding(packed, raw, self.path)
        elif start.startswith(b"PK\x03\x04"):
            packed = self._open_member(stack.enter_context(zipfile.ZipFile(raw)), stack)
            file = Unfolding(packed, raw, self.path)
        elif kind := next((name for name, mark in _OTHER_PACKERS if start.startswith(mark)), ""):
            raise SourceError(
                f"{self.path} is compressed with {kind}, which is not read here. Unpack it, or "
                "pack it with gzip."
            )
        buffered = stack.enter_context(io.BufferedReader(file, 1 << 16))
        return stack.enter_context(self._decode(buffered, self._encodings[0]))

    def _decode(self, file: Any, encoding: str) -> io.TextIOWrapper:
        mark = file.peek(2)[:2]
        if mark in _UTF16_MARKS:
            encoding = "utf-16"
        elif encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
            encoding = "utf-8-sig"
        # Undecodable bytes become surrogates, so that they affect one row and not the whole table.
        return io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="")

    def _open_member(self, archive: zipfile.ZipFile, stack: ExitStack) -> BinaryIO:
        names = [
            name
            for name in archive.namelist()
            if not name.endswith("/") and not name.startswith("__MACOSX/")
        ]
        wanted = [self._how.member] if self._how.member else names
        if len(wanted) != 1 or wanted[0] not in names:
            raise SourceError(
                f"{self.path} contains {len(names)} files ({show(', '.join(names[:5]))}). Name the "
                'one that is the table in the description: member = "train.csv".'
            )
        return cast("BinaryIO", stack.enter_context(archive.open(wanted[0])))

    def _open_parquet(self, stack: ExitStack) -> Any:
        raw = stack.enter_context(open_beneath(self._folder, self.path))
        file = pq.ParquetFile(raw)
        if file.metadata.num_columns > MAX_COLUMNS:
            raise too_many_columns(self.path)
        try:
            if not self._batch_size:
                self._leaves = find_leaves(file)
                paths = self._leaves.paths
                self._batch_size = find_batch_size(file, raw.fileno(), self.path, paths)
        except (ValueError, IndexError) as error:
            raise SourceError(
                f"{self.path} is damaged: the headers of its pages cannot be read ({error}). Write "
                "it again."
            ) from error
        return file

    @contextmanager
    def _source_errors(self) -> Iterator[None]:
        """Turn the exceptions of the readers into a SourceError that names the file."""
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise SourceError(
                f"{self.path} is cut short or damaged ({error}). Download or copy it again."
            ) from error
        except FileNotFoundError as error:
            raise SourceError(f"{self.path} is not in {self._folder}.") from error
        except (UnsafePath, LookupError, UnicodeError, NotImplementedError, RuntimeError) as error:
            raise SourceError(f"{self.path} cannot be read: {error}") from error
        except csv.Error as error:
            raise SourceError(f"{self.path}: the header cannot be read ({error}).") from error
        except pa.ArrowException as error:
            raise SourceError(f"{self.path} cannot be read as a Parquet file: {error}") from error
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, OverflowError) as error:
            raise SourceError(
                f"{self.path} contains a value that cannot be read ({error}). Write that column as "
                "text, and import again."
            ) from error


def _guess_format(path: str) -> str:
    for ending in reversed(path.lower().rsplit("/", 1)[-1].split(".")[1:]):
        if ending in _ENDINGS:
            return _ENDINGS[ending]
    raise SourceError(
        f"The name {path} does not say what kind of table it is. Give the format in the "
        f"description: {', '.join(FORMATS)}."
    )
