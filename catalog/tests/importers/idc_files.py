"""A small index of the Imaging Data Commons, with the columns of the real one and its dirt."""

from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

_TEXTS = (
    "collection_id", "analysis_result_id", "PatientID", "SeriesInstanceUID", "StudyInstanceUID",
    "source_DOI", "PatientAge", "PatientSex", "StudyDate", "StudyDescription", "BodyPartExamined",
    "Modality", "SOPClassUID", "sop_class_name", "TransferSyntaxUID", "transfer_syntax_name",
    "PhotometricInterpretation", "PixelRepresentation", "Manufacturer", "ManufacturerModelName",
    "SeriesDate", "SeriesDescription", "SeriesNumber", "license_short_name", "aws_bucket",
    "crdc_series_uuid", "series_aws_url",
)  # fmt: skip
_NUMBERS = ("instanceCount", "series_init_idc_version", "series_revised_idc_version")
SERIES = pa.schema(
    [(name, pa.large_string()) for name in _TEXTS]
    + [(name, pa.int64()) for name in _NUMBERS]
    + [("series_size_MB", pa.float64())]
)
_LICENSE = pa.struct(
    [(f"license_{name}", pa.string()) for name in ("url", "long_name", "short_name")]
)
_SOURCE = pa.struct(
    [(name, pa.string()) for name in ("source_id", "source_title", "source_type", "source_doi",
                                      "source_url", "modalities")]
    + [("license", _LICENSE)]
    + [(name, pa.string()) for name in ("citation", "Access", "ImageTypes")]
)  # fmt: skip
COLLECTIONS = pa.schema(
    [(name, pa.large_string()) for name in ("collection_name", "collection_id", "cancer_types",
                                            "tumor_locations", "species")]
    + [("subjects", pa.int64()), ("sources", pa.list_(_SOURCE))]
    + [(name, pa.large_string()) for name in ("supporting_data", "program_id", "status", "updated",
                                              "description")]
)  # fmt: skip
LUNG_DOI, SEG_DOI = "10.7937/k9/tcia.2015.lo9ql9sx", "10.5281/zenodo.1234567"


def series(number: int, collection: str = "tiny_lung", **given: Any) -> dict[str, Any]:
    """One row of the series table; ``given`` wins over what is made up here."""
    row = {
        "collection_id": collection,
        "PatientID": f"{collection}-{number // 2:03}",
        "SeriesInstanceUID": f"1.2.826.{number}",
        "StudyInstanceUID": f"1.2.826.9.{number}",
        "source_DOI": LUNG_DOI,
        "PatientAge": "066Y",
        "PatientSex": "F",
        "StudyDate": "2001-01-02",
        "BodyPartExamined": "CHEST",
        "Modality": "CT",
        "sop_class_name": "CT Image Storage",
        "instanceCount": 120,
        "license_short_name": "CC BY-NC 3.0",
        "series_aws_url": f"s3://idc-open-data/0000-{number}/*",
        "series_size_MB": 1.234567,
    }
    return row | given


def source(title: str, doi: str, *, kind: str = "original_data") -> dict[str, Any]:
    return {
        "source_title": title,
        "source_type": kind,
        "source_doi": doi,
        "source_url": f"https://doi.org/{doi}",
        "citation": f"Doe, J., &amp; Roe, R. (2015).\n<i>{title}</i>. https://doi.org/{doi}",
        "Access": "Public",
    }


LUNG = {
    "collection_name": "Tiny-Lung",
    "collection_id": "tiny_lung",
    "cancer_types": "Lung Cancer, Non-Cancer",
    "tumor_locations": "Chest",
    "species": "Human",
    "subjects": 3,
    "supporting_data": "Clinical, Image Analyses",
    "sources": [
        source("Outlines of others", SEG_DOI, kind="analysis_result"),
        source("Data From Tiny-Lung", LUNG_DOI),
    ],
    "description": (
        "Chest <b>CT</b> of H&E-proven\nlesions &amp; nodules (https://example.org/a "
        "(https://example.org/a)).\nPlease see the Tiny-Lung (https://doi.org/10.7937/x.y) page "
        "to learn more\nabout it and to obtain any supporting metadata for this collection."
    ),
}
DOGS = {
    "collection_name": "Tiny-Dogs",
    "collection_id": "tiny_dogs",
    "cancer_types": "Glioma",
    "tumor_locations": "Mesothelium",
    "species": "Canine",
    "sources": [source("Dogs", "10.7937/tcia.dogs")],
    "description": "Dogs.",
}
LUNG_SERIES = [
    series(1),
    series(2, PatientAge="000Y", PatientSex="0000"),
    series(3, PatientAge="018M", PatientSex="M", SeriesDescription="scout\x00\x07 view"),
    series(4, PatientAge="155Y", PatientSex="U", BodyPartExamined="TH CT CHEST WO C"),
    *(
        series(
            number,
            Modality="SEG",
            PatientAge=None,
            PatientSex=None,
            BodyPartExamined=None,
            analysis_result_id="others",
            license_short_name="CC BY 4.0",
            source_DOI=SEG_DOI,
        )
        for number in range(5, 11)
    ),
]
DOGS_SERIES = [
    series(20, "tiny_dogs", Modality="MR", BodyPartExamined="BRAIN", license_short_name="CC BY 4.0")
]


def write_index(
    folder: Path,
    rows: list[dict[str, Any]] | None = None,
    collections: list[dict[str, Any]] | None = None,
) -> Path:
    """Both tables in ``folder``: by default two collections, one of them dirty."""
    folder.mkdir(exist_ok=True)
    rows = DOGS_SERIES + LUNG_SERIES if rows is None else rows
    collections = [DOGS, LUNG] if collections is None else collections
    pq.write_table(pa.Table.from_pylist(rows, SERIES), folder / "idc_index.parquet")
    described = pa.Table.from_pylist(collections, COLLECTIONS)
    pq.write_table(described, folder / "collections_index.parquet")
    return folder
