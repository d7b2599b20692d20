"""The short texts of an archive: its contents, sources and licences.

They are made from the frozen collection alone, not from the clock or the present catalog, so a
rebuild gives the same bytes.
"""

import json
from typing import Any

from catalog.bulk.csv_text import csv_text
from catalog.deidentification import deidentifies_on_delivery
from catalog.imaging.dicom.confidentiality import CODE, METHOD_VERSION, PROFILE
from collections_app.archive import WRITER_VERSION, TextEntry
from collections_app.contents.data_card import data_card
from collections_app.models import Collection
from collections_app.provenance_keys import DATASETS, KINDS, TERMS
from collections_app.selection.fingerprint import CONTENTS_VERSION, frozen_head
from collections_app.selection.provenance import licenses_of

DEIDENTIFICATION = {
    "files": "DICOM files that do not say PatientIdentityRemoved YES",
    "profile": PROFILE,
    "method_code": dict(zip(("value", "scheme", "meaning"), CODE, strict=True)),
    "method_version": METHOD_VERSION,
    "changes": "Attributes of PS3.15 table E.1-1 are removed, emptied or replaced by a dummy value "
    "as it says; private and unknown attributes are removed. UIDs are replaced, each by the same "
    "everywhere; PatientID and PatientName by a pseudonym. Pixels are unchanged.",
    "checksums": "metadata.csv: sha256 and size_bytes, and SHA256SUMS, are those of the file in "
    "the archive; source_sha256 is that of the file as its source published it.",
}
LICENSE_COLUMNS = ("dataset", "title", "num_images", "license", "license_name", "license_url",
                   "allows_commercial_use", "citation", "doi", "source_url")  # fmt: skip

TERM_COLUMNS = ("vocabulary", "code", "name", "description")


def make_texts(collection: Collection, fingerprint: str) -> list[TextEntry]:
    """The texts that come before the images."""
    texts = {
        "README.md": data_card(collection, fingerprint),
        "collection.json": collection_json(collection, fingerprint),
        "licenses.csv": licenses_csv(collection),
    }
    # Collections of an earlier version have no terms.
    if terms := collection.provenance.get(TERMS):
        texts["terms.csv"] = csv_text(
            [TERM_COLUMNS, *([t[c] for c in TERM_COLUMNS] for t in terms)]
        )
    return [TextEntry(f"{collection.slug}/{name}", [text]) for name, text in texts.items()]


def collection_json(collection: Collection, fingerprint: str) -> bytes:
    """The machine-readable record of the filters, the sources and the versions."""
    record = {
        "format": "medagg collection",
        "contents_version": CONTENTS_VERSION,
        "writer_version": WRITER_VERSION,
        "fingerprint": fingerprint,
        "num_images": collection.num_images,
        "num_files": collection.num_files,
        "num_bytes": collection.num_bytes,
        **frozen_head(collection),
    }
    if deidentifies_on_delivery():
        record["deidentification"] = DEIDENTIFICATION
    # Collections of an earlier version do not say of which kinds their images are.
    if kinds := collection.provenance.get(KINDS):
        record["num_images_by_kind"] = kinds
    return (json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def licenses_csv(collection: Collection) -> bytes:
    """Each source dataset with each licence of its images, its citation and address."""
    rows = (
        _license_row(dataset, license_)
        for dataset in collection.provenance[DATASETS]
        for license_ in licenses_of(dataset)
    )
    return csv_text([LICENSE_COLUMNS, *rows])


def _license_row(dataset: dict[str, Any], license_: dict[str, Any]) -> list[Any]:
    commercial = {True: "yes", False: "no", None: "not stated"}[license_["allows_commercial_use"]]
    row = {**dataset, **license_, "dataset": dataset["slug"], "allows_commercial_use": commercial}
    return [row[column] for column in LICENSE_COLUMNS]
