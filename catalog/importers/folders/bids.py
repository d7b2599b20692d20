"""Brain Imaging Data Structure: parses its file names, and tells images from masks and derivatives.

Source: BIDS specification 1.10 (https://bids-specification.readthedocs.io): entities in file names,
the suffixes of each datatype, and the folder ``derivatives``.
"""

import re
from typing import Any, NamedTuple

from catalog.importers.masks import find_mask_folder, find_mask_word

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


MASK_ROLE = "masks and segmentations"


class BidsName(NamedTuple):
    """The parts of a file name: the subject's label, and other entities by their long names."""

    subject: str
    entities: dict[str, str]
    suffix: str
    modality: str  # a code of the vocabulary, or ''


def parse_name(path: str) -> BidsName:
    """Parse a .nii, .nii.gz or .hdr path; parts that do not follow the specification are ignored.

    ``sub-01_ses-pre_task-rest_run-1_bold.nii.gz``: entities are ``key-value`` between underscores,
    the suffix comes last.
    """
    stem = re.sub(r"\.(nii(\.gz)?|hdr)$", "", path.rpartition("/")[2], flags=re.IGNORECASE)
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


def describe_entities(name: BidsName) -> dict[str, Any]:
    """The name's entities and suffix as an image's metadata."""
    return name.entities | ({"suffix": name.suffix} if name.suffix else {})


def find_role(path: str) -> str:
    """What a volume is if it is not an image of a participant, for the report; else ''."""
    if "derivatives" in path.casefold().split("/")[:-1]:
        return "derivatives"
    is_mask = find_mask_folder(path) or find_mask_word(path, is_volume=True)
    return MASK_ROLE if is_mask else ""
