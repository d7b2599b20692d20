"""Importing DICOM slices: each series as one image, and each file as one, by turns."""

import io
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from benchmarks.figures import Figures, Goal, short, table
from benchmarks.folder import PLAIN, Folder, say
from benchmarks.processes import Run, run_measured

TITLE = "Import of DICOM series"
SERIES, SLICES, EDGE = 1_000, 200, 48
WAYS = ("series", "file")
# What differs between the slices, as placeholders of the same length as what takes their place.
_SERIES, _SLICE, _PLACE = "1.2.3.4.5.990000", "1.2.3.4.5.990000.9900", "9900.0"
MARK = "made"


def measure(folder: Folder, options: Namespace) -> Figures:
    root = folder.var / "series"
    num_series = max(1, SERIES * options.archive_percent // 100)
    _make_files(root / "scans", num_series)
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    for number in range(options.loads):
        for way in WAYS if number % 2 == 0 else reversed(WAYS):
            runs[way].append(_import(folder, root, way))
            say(f"  by {way}: {runs[way][-1].seconds:.0f} s, {_megabytes(runs[way][-1]):.0f} MB")
    return {
        "series": num_series,
        "files": num_series * SLICES,
        "bytes": sum(path.stat().st_size for path in (root / "scans" / "0").iterdir()) // SLICES,
        "runs": {
            way: [
                {"seconds": run.seconds, "cpu_s": run.cpu_seconds, "peak_bytes": run.peak_bytes}
                for run in each
            ]
            for way, each in runs.items()
        },
        "ratio": _seconds(runs["file"]) / _seconds(runs["series"]),
    }


def _import(folder: Folder, root: Path, way: str) -> Run:
    folder.make_database(PLAIN)
    environment = folder.environment(PLAIN) | {"MEDAGG_DATASET_ROOTS": str(root)}
    manage = [sys.executable, "manage.py"]
    for command in ("migrate", "load_vocab"):
        run_measured([*manage, command], environment=environment, log=folder.logs / "series.log")
    return run_measured(
        [*manage, "import_dataset", str(root / "scans"), "--per", way],
        environment=environment,
        log=folder.logs / f"series-by-{way}.log",
    )


def _make_files(root: Path, num_series: int) -> None:
    """The slices of a series are in a folder; what is there from an earlier run is kept."""
    mark = root.parent / MARK
    if mark.exists() and mark.read_text() == str(num_series):
        return
    shutil.rmtree(root, ignore_errors=True)
    template = _make_slice()
    for number in range(num_series):
        folder = root / str(number)
        folder.mkdir(parents=True)
        series = template.replace(_SERIES.encode(), f"1.2.3.4.5.{100_000 + number}".encode())
        for place in range(SLICES):
            slice_ = series.replace(b".9900", f".{1_000 + place}".encode())
            slice_ = slice_.replace(_PLACE.encode(), f"{1_000 + place}.0".encode())
            (folder / f"{place}.dcm").write_bytes(slice_)
    mark.write_text(str(num_series))


def _make_slice() -> bytes:
    slice_ = Dataset()
    slice_.SOPClassUID = uid.CTImageStorage
    slice_.SOPInstanceUID, slice_.SeriesInstanceUID = uid.UID(_SLICE), uid.UID(_SERIES)
    slice_.StudyInstanceUID = uid.UID("1.2.3.4.5")
    slice_.Modality, slice_.PatientID, slice_.PatientIdentityRemoved = "CT", "P1", "YES"
    slice_.ImagePositionPatient = ["0.0", "0.0", _PLACE]
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.Rows = slice_.Columns = EDGE
    slice_.PixelSpacing, slice_.SliceThickness = [0.7, 0.7], 1.0
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit, slice_.SamplesPerPixel, slice_.PixelRepresentation = 15, 1, 0
    slice_.PhotometricInterpretation = "MONOCHROME2"
    slice_.PixelData = np.zeros((EDGE, EDGE), np.uint16).tobytes()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    slice_.file_meta.MediaStorageSOPClassUID = uid.CTImageStorage
    slice_.file_meta.MediaStorageSOPInstanceUID = uid.UID(_SLICE)
    out = io.BytesIO()
    pydicom.dcmwrite(out, slice_, enforce_file_format=True)
    return out.getvalue()


def goals(figures: Figures) -> Iterator[Goal]:
    yield Goal("import by file by that by series", figures["ratio"], 0.8, "×", at_least=True)


def describe(figures: Figures) -> Iterator[str]:
    yield (
        f"`manage.py import_dataset` of {figures['files']:,} DICOM files of "
        f"{figures['bytes']:,} bytes, {SLICES} in each of {figures['series']:,} series, into an "
        "empty database: a series as one image, or each file as one (`--per file`), by turns. The "
        "goal is held against the speed of the second."
    )
    yield ""
    rows = [
        (
            f"by {way}",
            f"{short(run['seconds'])} s",
            f"{short(run['cpu_s'])} s",
            f"{run['peak_bytes'] / 1e6:.0f} MB",
        )
        for way, runs in figures["runs"].items()
        for run in runs
    ]
    yield from table(("import", "time", "its CPU time", "memory"), rows)
    yield ""


def _seconds(runs: list[Run]) -> float:
    return median(run.seconds for run in runs)


def _megabytes(run: Run) -> float:
    return run.peak_bytes / 1e6
