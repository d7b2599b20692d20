"""The slices of a series become one image: rows of files come in, rows of images go out.

A series is what has one Series Instance UID, of one study and one subject, as anonymisers have
given the same UID to several. Its files are ordered by their place along the normal of their planes
(`slices.py`), or else by their Instance Number.
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from catalog.imaging.paths import FileFacts, safe_part
from catalog.importers.rows import BadRow, FileNote, FileRow, ImageRow, ImportReport, Slice
from catalog.importers.slices import Place, describe_slices, find_place, is_in_plane
from catalog.limits import MAX_SOURCE_ID
from catalog.storage.series import HAS_ENDING, hash_files, list_files_to_hash

NOT_A_VOLUME = "a series that is not one volume"
_REMEDY = "nothing, if that is right; the series was imported as it is"
# Fields in which the slices of a series should agree.
_FIELDS = ("modality", "area", "sex", "age_years", "width", "height")
# One slice that says it is enough, as its text is shown, too.
_BURNED_IN = "BurnedInAnnotation"
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)


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
    faults: list[str] = row.metadata.get("not_a_volume", []) if row.files else []
    for fault in faults:
        report.not_volumes[fault].add(row.source_id)
    if faults:
        on_file(FileNote(NOT_A_VOLUME, row.file_path, 0, "; ".join(faults), _REMEDY))


class _Part(NamedTuple):
    """A slice; ``place`` is None if it is not known."""

    place: Place | None
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
    has_planes: bool = False

    def add(self, row: ImageRow, place: Slice, facts: FileFacts) -> None:
        self.parts.append(
            _Part(
                find_place(place, self.place),
                place.number,
                row.file_path,
                facts.size_bytes,
                bytes.fromhex(facts.sha256),
                facts.crc32,
                facts.mtime_ns,
            )
        )
        if place.orientation and self.place.orientation and not is_in_plane(place, self.place):
            self.has_planes = True
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
        if row.metadata.get(_BURNED_IN) == "YES":
            self.metadata[_BURNED_IN] = "YES"

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
        if self.metadata.get(_BURNED_IN) == "YES":
            common[_BURNED_IN] = "YES"
        uids = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
        found = common | {name: uid for name, uid in uids.items() if uid}
        if len(self.parts) > 1:
            found |= describe_slices(
                [part.place for part in self.parts],
                varying=self.varying,
                has_planes=self.has_planes,
            )
            if self.varying:
                found["varying"] = sorted(self.varying)
        return found


def _order_of(parts: Sequence[_Part]) -> Callable[[_Part], Any]:
    if all(part.place for part in parts):
        return lambda part: (part.place, _last_if_none(part.number), part.path)
    return lambda part: (_last_if_none(part.number), part.path)


def _last_if_none(number: int | None) -> tuple[bool, int]:
    return (number is None, number or 0)


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
    uses: Counter[str] = Counter()
    for path in paths:
        given = PurePosixPath(path).name
        found = HAS_ENDING.search(given)
        own = found[0] if found else ""
        stem = safe_part(given.removesuffix(own))
        # A device of Windows, or an option of the program that gets it.
        stem = f"_{stem}" if _DEVICE.match(stem) or stem.startswith("-") else stem
        name = f"{stem}{own or ending}"
        folded = name.casefold()
        while name.casefold() in taken:
            uses[folded] += 1  # so that equal names are not counted from the start again
            name = f"{stem}-{uses[folded] + 1}{own or ending}"
        taken.add(name.casefold())
        names[path] = name
    return names
