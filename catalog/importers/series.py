"""The slices of a series become one image: rows of files come in, rows of images go out.

A series is what has one Series Instance UID, of one study and one subject, as anonymisers have
given the same UID to several. Its files are ordered by their place along the normal of their planes
(Image Position and Orientation (Patient), DICOM PS3.3 C.7.6.2), or else by their Instance Number.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import PurePosixPath
from statistics import median
from typing import Any, NamedTuple

from catalog.imaging.paths import FileFacts
from catalog.importers.rows import BadRow, FileNote, FileRow, ImageRow, ImportReport, Slice
from catalog.limits import MAX_SOURCE_ID
from catalog.storage.mirror import safe_part
from catalog.storage.series import hash_files, list_files_to_hash

UNEVEN = "a series whose slices are not evenly spaced"
_UNEVEN_REMEDY = "find out whether slices are missing; the series was imported as it is"
# Gaps that differ by more than this are not rounding (mm; share of the usual gap).
_GAP_MM, _GAP_SHARE = 0.01, 0.02
# Positions closer than this are one place, as of the echoes or times of one slice.
_SAME_PLACE_MM = 1e-3
# Direction cosines closer than this are one plane, as scanners round them.
_SAME_DIRECTION = 1e-3
# Fields in which the slices of a series should agree.
_FIELDS = ("modality", "area", "sex", "age_years", "width", "height")
_HAS_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|clock\$|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)


def group_series(
    rows: Iterable[ImageRow | BadRow], report: ImportReport, on_file: Callable[[FileNote], None]
) -> Iterator[ImageRow | BadRow]:
    """The rows without a slice, or without a file here, at once; then one for each series.

    About 500 bytes are in memory for each slice.
    """
    found: dict[tuple[str, str, str], _Series] = {}
    for row in rows:
        place = row.slice if isinstance(row, ImageRow) else None
        if isinstance(row, BadRow) or place is None or row.facts is None:
            yield row
            continue
        key = (place.series_uid, place.study_uid, row.subject_id)
        if key not in found:
            found[key] = _Series(row, place)
        found[key].add(row, place, row.facts)
    uses = Counter(uid for uid, _, _ in found)
    while found:
        key = next(iter(found))
        row = found.pop(key).make_row(is_shared=uses[key[0]] > 1)
        _report(row, report, on_file)
        yield row


def _report(row: ImageRow, report: ImportReport, on_file: Callable[[FileNote], None]) -> None:
    if row.files:
        report.series += 1
        report.series_files += len(row.files)
    if row.metadata.get("slices_uneven"):
        report.uneven_series.add(row.source_id)
        on_file(FileNote(UNEVEN, row.file_path, 0, "", _UNEVEN_REMEDY))


class _Part(NamedTuple):
    """A slice; ``offset`` is its place along the normal in mm, None if it is not known."""

    offset: float | None
    number: int | None
    path: str
    size: int
    sha256: bytes
    crc32: int
    mtime_ns: int

    @property
    def facts(self) -> FileFacts:
        return FileFacts(self.size, self.sha256.hex(), self.crc32, self.mtime_ns)


@dataclass(slots=True)
class _Series:
    """The slices so far, of which ``first`` lies at ``place``; ``metadata`` are its.

    ``varying`` names what other slices say differently.
    """

    first: ImageRow
    place: Slice
    metadata: dict[str, Any] = field(default_factory=dict)
    varying: set[str] = field(default_factory=set)
    identifying: set[str] | None = field(default_factory=set)
    parts: list[_Part] = field(default_factory=list)

    def add(self, row: ImageRow, place: Slice, facts: FileFacts) -> None:
        self.parts.append(
            _Part(
                self._find_offset(place),
                place.number,
                row.file_path,
                facts.size_bytes,
                bytes.fromhex(facts.sha256),
                facts.crc32,
                facts.mtime_ns,
            )
        )
        if row.identifying is None:
            self.identifying = None
        elif self.identifying is not None:
            self.identifying.update(row.identifying)
        if len(self.parts) == 1:
            self.metadata = dict(row.metadata)
            return
        names = self.metadata.keys() | row.metadata.keys()
        self.varying |= {
            name for name in names if self.metadata.get(name) != row.metadata.get(name)
        } | {name for name in _FIELDS if getattr(self.first, name) != getattr(row, name)}

    def _find_offset(self, place: Slice) -> float | None:
        """Along the normal of the first slice; None for a slice in another plane."""
        first = self.place
        if not place.position or not first.orientation:
            return None
        pairs = zip(place.orientation, first.orientation, strict=True)
        if not place.orientation or any(abs(a - b) > _SAME_DIRECTION for a, b in pairs):
            return None
        normal = _normal(first.orientation)
        return math.fsum(a * b for a, b in zip(normal, place.position, strict=True))

    def make_row(self, *, is_shared: bool) -> ImageRow:
        """The row of the series; with ``is_shared`` another series has the same UID."""
        place, parts = self.place, self.parts
        parts.sort(key=_order_of(parts))
        files = [FileRow(part.path, "", part.facts) for part in parts]
        unknown: dict[str, Any] = {
            name: "" if isinstance(getattr(self.first, name), str) else None
            for name in self.varying.intersection(_FIELDS)
        }
        row = replace(
            self.first,
            **unknown,
            source_id=_make_id(place.series_uid, place.study_uid if is_shared else "",
                               self.first.subject_id if is_shared else ""),
            # Its preview shows that slice.
            file_path=files[len(files) // 2].path,
            facts=files[0].facts,
            metadata=self._describe(place.study_uid, place.series_uid),
            identifying=None if self.identifying is None else tuple(sorted(self.identifying)),
            slice=None,
            problem=None,
        )  # fmt: skip
        return join_files(row, files, ending=".dcm") if len(files) > 1 else row

    def _describe(self, study_uid: str, series_uid: str) -> Mapping[str, Any]:
        """What all slices say; the names of what they say differently are in ``varying``."""
        common = {k: v for k, v in self.metadata.items() if k not in self.varying}
        uids = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
        found = common | {name: uid for name, uid in uids.items() if uid}
        if len(self.parts) > 1:
            found |= _describe_places([part.offset for part in self.parts])
            if self.varying:
                found["varying"] = sorted(self.varying)
        return found


def _normal(orientation: Sequence[float]) -> tuple[float, float, float]:
    a, b = orientation[:3], orientation[3:]
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _order_of(parts: Sequence[_Part]) -> Callable[[_Part], Any]:
    if all(part.offset is not None for part in parts):
        return lambda part: (part.offset, _last_if_none(part.number), part.path)
    return lambda part: (_last_if_none(part.number), part.path)


def _last_if_none(number: int | None) -> tuple[bool, int]:
    return (number is None, number or 0)


def _describe_places(offsets: Sequence[float | None]) -> dict[str, Any]:
    """Number and distance of the places that slices lie at; nothing unless all are known."""
    known = sorted(offset for offset in offsets if offset is not None)
    if len(known) < len(offsets):
        return {}
    gaps = [b - a for a, b in pairwise(known) if b - a > _SAME_PLACE_MM]
    found: dict[str, Any] = {"num_slices": len(gaps) + 1}
    if not gaps:
        return found
    usual = median(gaps)
    if max(abs(gap - usual) for gap in gaps) > max(_GAP_MM, _GAP_SHARE * usual):
        return found | {"slices_uneven": True}
    return found | {"slice_spacing_mm": round(usual, 4)}


def _make_id(series_uid: str, study_uid: str, subject_id: str) -> str:
    made = "/".join(filter(None, (subject_id, study_uid, series_uid)))
    return made if len(made) <= MAX_SOURCE_ID else safe_part(made)


def join_files(row: ImageRow, files: Sequence[FileRow], *, ending: str = "") -> ImageRow:
    """The row of an image that has these files, in their order, with names and facts.

    Names without an ending get ``ending``.
    """
    names = _name_files(sorted(file.path for file in files), ending)
    named = tuple(FileRow(path, names[path], facts) for path, _, facts in files)
    pairs = [(file.name, file.facts.sha256) for file in named]
    facts = FileFacts(
        sum(file.facts.size_bytes for file in named),
        hash_files(pairs),
        zlib.crc32(list_files_to_hash(pairs)),
        max(file.facts.mtime_ns for file in named),
    )
    return replace(row, facts=facts, files=named, num_files=len(named))


def _name_files(paths: Sequence[str], ending: str) -> dict[str, str]:
    """Safe names by path, each different."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for path in paths:
        given = PurePosixPath(path).name
        found = _HAS_ENDING.search(given)
        own = found[0] if found else ""
        stem = safe_part(given.removesuffix(own))
        stem = f"_{stem}" if _DEVICE.match(stem) else stem
        number, name = 1, f"{stem}{own or ending}"
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}{own or ending}"
        taken.add(name.casefold())
        names[path] = name
    return names
