"""The JSON file beside a NIfTI volume, as BIDS and dcm2niix write it: how it was taken.

Only a fixed list of fields is read, those of DICOM files and some of BIDS's own, so no names, dates
or numbers of people can come in. Times are in seconds, as BIDS has them.
"""

import math
import re
from pathlib import Path
from typing import Any

from catalog.imaging.dicom.header import MAX_ITEMS, MAX_TEXT, METADATA_KEYWORDS
from catalog.importers.folders.bids_files import read_object

FIELDS = (
    *METADATA_KEYWORDS,
    "ManufacturersModelName", "BodyPart", "TaskName", "PulseSequenceType", "ScanOptions",
    "ReceiveCoilName", "PhaseEncodingDirection", "EffectiveEchoSpacing", "TotalReadoutTime",
    "ContrastBolusIngredient", "TracerName", "TracerRadionuclide", "InjectedRadioactivityUnits",
    "FrameDuration", "AttenuationCorrection", "ArterialSpinLabelingType",
)  # fmt: skip
_SUFFIX = re.compile(r"\.(nii(\.gz)?|hdr)$", re.IGNORECASE)


def read_sidecar(root: Path, path: str) -> dict[str, Any]:
    """The listed fields of the volume's JSON file; {} if it has none."""
    found = read_object(root, _SUFFIX.sub(".json", path))
    values = {name: _clean(found[name]) for name in FIELDS if name in found}
    return {name: value for name, value in values.items() if value not in (None, "", [])}


def _clean(value: Any) -> Any:
    """Plain values of bounded size; None for others."""
    if isinstance(value, list):
        items = [_clean(each) for each in value[:MAX_ITEMS] if not isinstance(each, list)]
        return [each for each in items if each is not None]
    if isinstance(value, str):
        return "".join(c for c in value if c.isprintable()).strip()[:MAX_TEXT]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) and abs(value) < 2**53 else None
