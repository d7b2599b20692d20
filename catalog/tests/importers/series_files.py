"""Series of small DICOM slices for imports."""

from typing import Any

from pydicom import uid

from catalog.tests.importers.folder_files import make_scan

STUDY, SERIES = "1.2.3.1", "1.2.3.1.7"
AXIAL = [1, 0, 0, 0, 1, 0]


def make_slice(place: float | None = 0.0, *, number: int = 1, **elements: Any) -> bytes:
    """A CT slice at ``place`` mm along the normal of its plane; None leaves its place out."""
    given: dict[str, Any] = {
        "SOPClassUID": uid.CTImageStorage,
        "SOPInstanceUID": uid.generate_uid(entropy_srcs=[str(place), str(number), str(elements)]),
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "Modality": "CT",
        "PatientID": "P1",
        "PatientIdentityRemoved": "YES",
        "SeriesDescription": "Lung 1.0",
        "PixelSpacing": [0.7, 0.7],
        "SliceThickness": 1.5,
        "InstanceNumber": number,
        "SliceLocation": place or 0,
    }
    if place is not None:
        given |= {"ImagePositionPatient": [0, 0, place], "ImageOrientationPatient": AXIAL}
    return make_scan(**given | elements)


def make_series(places: list[float], **elements: Any) -> dict[str, bytes]:
    """``{name: content}`` of slices, whose names and numbers are in the order given."""
    return {
        f"IM{number:04}": make_slice(place, number=number, **elements)
        for number, place in enumerate(places, 1)
    }
