"""Brain Imaging Data Structure: parses its file names and its table of participants.

Source: BIDS specification 1.10 (https://bids-specification.readthedocs.io): entities in file names,
the suffixes of each datatype, ``participants.tsv`` with its columns ``participant_id``, ``sex`` and
``age`` (in years unless ``participants.json`` names other units).
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from catalog.imaging.paths import UnsafePath, open_beneath
from catalog.importers.parsers import AGE_UNITS, Reading, clean, parse_age, parse_sex

MAX_TABLE_BYTES = 64 << 20
MAX_RAW = 40
# The keys of file names and their names in the specification. A BIDS "split" is a part of a
# recording, not a split as in machine learning.
ENTITIES = {
    "ses": "session",
    "sample": "sample",
    "task": "task",
    "tracksys": "tracksys",
    "acq": "acquisition",
    "nuc": "nucleus",
    "voi": "volume",
    "ce": "ceagent",
    "trc": "tracer",
    "stain": "stain",
    "rec": "reconstruction",
    "dir": "direction",
    "run": "run",
    "mod": "modality",
    "echo": "echo",
    "flip": "flip",
    "inv": "inversion",
    "mt": "mtransfer",
    "part": "part",
    "proc": "processing",
    "hemi": "hemisphere",
    "space": "space",
    "split": "file_split",
    "recording": "recording",
    "chunk": "chunk",
    "atlas": "atlas",
    "seg": "segmentation",
    "scale": "scale",
    "res": "resolution",
    "den": "density",
    "label": "label",
    "desc": "description",
}
# fmt: off
_MR_SUFFIXES = (
    # anat
    "T1w", "T2w", "PDw", "T2starw", "FLAIR", "inplaneT1", "inplaneT2", "PDT2", "angio", "T2star",
    "FLASH", "PD", "T1map", "T2map", "T2starmap", "R1map", "R2map", "R2starmap", "PDmap", "MTRmap",
    "MTsat", "UNIT1", "T1rho", "MWFmap", "MTVmap", "Chimap", "S0map", "M0map", "MEGRE", "MESE",
    "VFA", "IRT1", "MP2RAGE", "MPM", "MTS", "MTR",
    # func, dwi, perf
    "bold", "cbv", "sbref", "phase", "noRF", "boldref", "dwi", "dwiref", "ADC", "FA", "trace",
    "colFA", "expADC", "asl", "m0scan",
    # fmap
    "phasediff", "phase1", "phase2", "magnitude", "magnitude1", "magnitude2", "fieldmap", "epi",
    "TB1DAM", "TB1EPI", "TB1AFI", "TB1TFL", "TB1RFM", "TB1SRGE", "TB1map", "RB1map", "RB1COR",
    # mrs
    "svs", "mrsi", "unloc", "mrsref",
)
# fmt: on
# The codes are those of the modality vocabulary. CT has no datatype of its own in BIDS yet.
_MODALITIES = {suffix.casefold(): "mr" for suffix in _MR_SUFFIXES} | {"pet": "pt", "ct": "ct"}
# Segmentations, which have no modality.
MASKS = frozenset({"mask", "dseg", "probseg", "defacemask"})
_PART = re.compile(r"([a-z]+)-([A-Za-z0-9+]+)")


class BidsName(NamedTuple):
    """The parts of a file name: the subject's label, and other entities by their long names."""

    subject: str
    entities: dict[str, str]
    suffix: str
    modality: str  # a code of the vocabulary, or ''


class Participant(NamedTuple):
    """Sex (F, M, O or '') and age in years; ``raw`` has the cells that were not understood."""

    sex: str
    age_years: float | None
    raw: dict[str, str]


def parse_name(path: str) -> BidsName:
    """Parse a .nii or .nii.gz path; parts that do not follow the specification are ignored.

    ``sub-01_ses-pre_task-rest_run-1_bold.nii.gz``: entities are ``key-value`` between underscores,
    the suffix comes last.
    """
    stem = re.sub(r"\.nii(\.gz)?$", "", path.rpartition("/")[2], flags=re.IGNORECASE)
    *parts, last = stem.split("_")
    found = {match[1]: match[2] for part in parts if (match := _PART.fullmatch(part))}
    modality = _MODALITIES.get(last.casefold(), "")
    is_suffix = "sub" in found or bool(modality) or last in MASKS
    return BidsName(
        subject=found.get("sub", ""),
        entities={ENTITIES[key]: value for key, value in found.items() if key in ENTITIES},
        suffix=last if is_suffix and last.isalnum() else "",
        modality=modality,
    )


def read_participants(root: Path) -> dict[str, Participant]:
    """Participants of the dataset in ``root`` by label, without ``sub-``; empty if there are none.

    Of a damaged table, or one over MAX_TABLE_BYTES, the readable part is used.
    """
    table = _read_text(root, "participants.tsv")
    unit = _find_age_unit(_read_text(root, "participants.json"))
    found: dict[str, Participant] = {}
    for row in _iter_rows(table):
        label = row.get("participant_id", "").removeprefix("sub-")
        if label:
            found.setdefault(label, _parse_participant(row, unit))
    return found


def _read_text(root: Path, name: str) -> str:
    try:
        with open_beneath(root, name) as file:
            return file.read(MAX_TABLE_BYTES).decode("utf-8-sig", "replace")
    except (FileNotFoundError, UnsafePath):
        return ""


def _iter_rows(table: str) -> Iterator[dict[str, str]]:
    lines = csv.reader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        names = [name.strip().casefold() for name in next(lines, [])]
        for cells in lines:
            yield dict(zip(names, (cell.strip() for cell in cells), strict=False))
    except csv.Error:  # a cell beyond the limit of csv; the rows before it are valid
        return


def _find_age_unit(sidecar: str) -> str:
    """One of ``AGE_UNITS``; '' if the sidecar names another unit."""
    try:
        unit = json.loads(sidecar or "{}")["age"]["Units"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return AGE_UNITS[0]
    word = str(unit).strip().casefold().removesuffix("s") + "s"
    return word if word in AGE_UNITS else ""


def _parse_participant(row: Mapping[str, str], unit: str) -> Participant:
    words = {name: row.get(name, "") for name in ("sex", "age")}
    sex = parse_sex(words["sex"])
    age = parse_age(words["age"], unit=unit) if unit else Reading(None, exact=False)
    inexact = [name for name, value in (("sex", sex), ("age", age)) if not value.exact]
    raw = {name: words[name][:MAX_RAW] for name in inexact if clean(words[name])}
    return Participant(sex.value, age.value, raw)


def describe_entities(name: BidsName) -> dict[str, Any]:
    """The name's entities and suffix as an image's metadata."""
    return name.entities | ({"suffix": name.suffix} if name.suffix else {})
