"""The NCI Imaging Data Commons as sources: collections are datasets, DICOM series are images."""

import difflib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from catalog.importers.idc.entry import Find, SeriesSummary, describe_collection
from catalog.importers.idc.index import (
    PACKAGE,
    PACKAGE_VERSION,
    SERIES_INDEX,
    SeriesReader,
    find_release,
    read_collections,
    summarize_series,
)
from catalog.importers.parsers import parse_age, parse_sex
from catalog.importers.rows import BadRow, ImageRow, SourceError
from catalog.limits import BYTES_PER_MB

_FIELDS = ("SeriesInstanceUID", "series_aws_url", "series_size_MB", "Modality", "PatientID",
           "PatientSex", "PatientAge")  # fmt: skip
# Columns that become metadata of an image, and their keys, which are the same for DICOM files.
_METADATA = {
    "BodyPartExamined": "BodyPartExamined",
    "StudyInstanceUID": "StudyInstanceUID",
    "StudyDate": "StudyDate",
    "StudyDescription": "StudyDescription",
    "SeriesDescription": "SeriesDescription",
    "SeriesNumber": "SeriesNumber",
    "Manufacturer": "Manufacturer",
    "ManufacturerModelName": "ManufacturerModelName",
    "instanceCount": "instances",
    "sop_class_name": "SOPClassUID",
    "transfer_syntax_name": "TransferSyntaxUID",
    "PhotometricInterpretation": "PhotometricInterpretation",
    "analysis_result_id": "analysis_result",
    "license_short_name": "license",
    "source_DOI": "source_doi",
}
_COLUMNS = tuple(dict.fromkeys((*_FIELDS, *_METADATA)))


def find_index() -> Path:
    """The folder of the installed package idc-index-data; raises SourceError if there is none."""
    # Without importing the package, which would read the descriptions of all its tables.
    spec = importlib.util.find_spec("idc_index_data")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"The index of the Imaging Data Commons is not installed. Install it with "
            f"`pip install {PACKAGE}=={PACKAGE_VERSION}`, or name its folder with --index."
        )
    return Path(spec.submodule_search_locations[0])


def open_collections(
    index: Path,
    *,
    find: Find,
    ids: Iterable[str] = (),
    shipped: Iterable[Mapping[str, Any]] = (),
) -> list["IdcCollection"]:
    """The collections of an index, all or those of ``ids``, in the order of the index.

    ``index`` is the folder of both tables, or the path of ``idc_index.parquet`` in it. ``shipped``
    are the catalog's own entries, some of which describe the same datasets.

    Raises:
        SourceError: a table is missing or not as expected, or lacks one of ``ids``.
    """
    folder = index if index.is_dir() else index.parent
    reader = SeriesReader(index / SERIES_INDEX if index.is_dir() else index, _COLUMNS)
    described = {row["collection_id"]: row for row in read_collections(folder)}
    summaries = summarize_series(reader.path)
    wanted = set(_check_ids(ids, summaries))
    ours = {entry["slug"]: entry for entry in shipped}
    release = find_release(reader.path)
    return [
        IdcCollection(
            entry={
                **describe_collection(
                    described.get(name, {"collection_id": name}),
                    summary,
                    find=find,
                    shipped=ours.get(name),
                ),
                "idc_release": release,
            },
            summary=summary,
            reader=reader,
            num_rows=summary.stop - summary.start,
        )
        for name, summary in summaries.items()
        if name in wanted or not wanted
    ]


@dataclass(slots=True)
class IdcCollection:
    """One collection as a source: every series is an image, identified by SeriesInstanceUID."""

    entry: Mapping[str, Any]
    summary: SeriesSummary
    reader: SeriesReader
    num_rows: int | None

    def rows(self) -> Iterator[ImageRow | BadRow]:
        for first, batch in self.reader.read(self.summary.start, self.summary.stop):
            yield from self._read_batch(first, batch)

    def _read_batch(self, first: int, batch: Any) -> Iterator[ImageRow | BadRow]:
        fields = [batch.column(name).to_pylist() for name in _FIELDS]
        metadata = self._read_metadata(batch)
        for line, (uid, url, size, modality, subject, sex, age, more) in enumerate(
            zip(*fields, metadata, strict=True), start=first + 1
        ):
            if not uid:
                yield BadRow(line, "SeriesInstanceUID", "", _NO_UID)
                continue
            known_sex, raw_sex = _read_sex(sex)
            known_age, raw_age = _read_age(age)
            if raw_sex:
                more["PatientSex"] = raw_sex
            if raw_age:
                more["PatientAge"] = raw_age
            yield ImageRow(
                source_id=uid,
                line=line,
                size_bytes=None if size is None else round(size * BYTES_PER_MB),
                remote_url=url or "",
                modality=modality or "",
                area=more.get("BodyPartExamined", ""),
                license=more.get("license", ""),
                subject_id=subject or "",
                sex=known_sex,
                age_years=known_age,
                metadata=more,
                num_files=more.get("instances", 1),
            )

    def _read_metadata(self, batch: Any) -> Iterator[dict[str, Any]]:
        """The metadata of every row, without a licence or DOI that is also the dataset's."""
        columns = {column: batch.column(column).to_pylist() for column in _METADATA}
        own = {"license_short_name": self.summary.license, "source_DOI": self.entry["doi"]}
        for name, value in own.items():
            columns[name] = [None if each == value else each for each in columns[name]]
        for name in ("StudyDescription", "SeriesDescription"):
            columns[name] = [_printable(text) for text in columns[name]]
        names = list(_METADATA.values())
        for values in zip(*columns.values(), strict=True):
            yield {name: value for name, value in zip(names, values, strict=True) if value}


_NO_UID = "The series has no SeriesInstanceUID to identify it. It was skipped."


@lru_cache(maxsize=4096)
def _read_age(text: str | None) -> tuple[float | None, str | None]:
    """The age in years, and the original text if it is not just that age."""
    if not text:
        return None, None
    age, exact = parse_age(text)
    return age, None if exact and text.endswith("Y") else text


@lru_cache(maxsize=4096)
def _read_sex(text: str | None) -> tuple[str, str | None]:
    sex, exact = parse_sex(text or "")
    return sex, None if exact else text


def _printable(text: str | None) -> str | None:
    if text is None or text.isprintable():
        return text
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _check_ids(ids: Iterable[str], known: Mapping[str, object]) -> list[str]:
    wanted = list(ids)
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=3, cutoff=0.5)
            meant = f"Did you mean {' or '.join(near)}?" if near else ""
            raise SourceError(f"There is no collection “{name}” in the index. {meant}".strip())
    return wanted
