"""What lies in a collection's archive, and the fingerprint that determines its bytes.

Everything here comes from the frozen collection and its items, nothing from the clock or from
the catalog as it is today: building again gives the same bytes.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from collections_app.archive import WRITER_VERSION, UniqueNames, checksum_line, safe_name
from collections_app.models import Collection

# Raise it whenever the same collection would give other texts than before.
CONTENTS_VERSION = "1"
CHUNK_ROWS = 500
METADATA_COLUMNS = (
    "file_name", "dataset", "source_id", "subject_id", "sex", "age_years", "modality", "area",
    "labels", "uncertain_labels", "negative_labels", "label_confidence", "width", "height",
    "size_bytes", "sha256",
)  # fmt: skip
REMOTE_COLUMNS = ("dataset", "source_id", "url", "subject_id", "sex", "age_years", "modality",
                  "area", "labels")  # fmt: skip
MISSING_COLUMNS = ("dataset", "source_id", "file_path", "sha256", "reason")
LICENSE_COLUMNS = ("dataset", "title", "num_images", "license", "license_name", "license_url",
                   "allows_commercial_use", "citation", "doi", "source_url")  # fmt: skip


@dataclass(frozen=True, slots=True)
class FrozenItem:
    """One item as the archive sees it; ``name`` is its path below the slug, empty for none."""

    position: int
    image_id: int
    sha256: str
    size_bytes: int | None
    metadata: dict[str, Any]
    problem: str
    is_left_out: bool
    name: str

    @property
    def has_file(self) -> bool:
        return bool(self.name)

    @property
    def is_remote(self) -> bool:
        return not self.sha256 and not self.is_left_out


Items = Callable[[], Iterator[FrozenItem]]


def iter_items(collection: Collection) -> Iterator[FrozenItem]:
    """All items in order, each with its name in the archive; in flat memory but for the names."""
    names = UniqueNames()
    rows = collection.items.order_by("position").values_list(
        "position", "image_id", "sha256", "size_bytes", "metadata_json", "problem", "is_left_out"
    )
    for row in rows.iterator(chunk_size=2000):
        *_, sha256, _size, metadata, _problem, is_left_out = row[1:]
        has_file = bool(sha256) and not is_left_out
        wanted = f"images/{metadata['dataset']}/{metadata['file_path']}"
        yield FrozenItem(*row, name=names.take(safe_name(wanted)) if has_file else "")


def compute_fingerprint(collection: Collection, items: Items) -> str:
    """SHA-256 (hex) over the versions, the frozen texts and every item's hash and metadata."""
    digest = hashlib.sha256()
    for part in (CONTENTS_VERSION, WRITER_VERSION, _frozen_head(collection)):
        digest.update(_canonical(part) + b"\n")
    for item in items():
        problem = item.problem if item.is_left_out else ""
        digest.update(_canonical([item.sha256, item.size_bytes, item.metadata, problem]) + b"\n")
    return digest.hexdigest()


def _frozen_head(collection: Collection) -> dict[str, Any]:
    return {
        "title": collection.title,
        "slug": collection.slug,
        "query": collection.query_text,
        "filters": collection.filter_snapshot,
        "options": collection.options,
        "provenance": collection.provenance,
    }


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


# --- Texts ---
def collection_json(collection: Collection, fingerprint: str) -> bytes:
    """The machine-readable record: how chosen, from what, and what determines the bytes."""
    record = {
        "format": "medagg collection",
        "contents_version": CONTENTS_VERSION,
        "writer_version": WRITER_VERSION,
        "fingerprint": fingerprint,
        "num_images": collection.num_images,
        "num_files": collection.num_files,
        "num_bytes": collection.num_bytes,
        **_frozen_head(collection),
    }
    return (json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def licenses_csv(collection: Collection) -> bytes:
    """Each source dataset with its licence, citation and address."""
    return b"".join(_csv(LICENSE_COLUMNS, map(_license_row, _datasets(collection))))


def _license_row(dataset: dict[str, Any]) -> list[Any]:
    commercial = {True: "yes", False: "no", None: "not stated"}[dataset["allows_commercial_use"]]
    row = {**dataset, "dataset": dataset["slug"], "allows_commercial_use": commercial}
    return [row[column] for column in LICENSE_COLUMNS]


def metadata_csv(items: Items) -> Iterator[bytes]:
    """One row for each file of the archive, ``file_name`` first."""
    return _csv(METADATA_COLUMNS, (_metadata_row(item) for item in items() if item.has_file))


def _metadata_row(item: FrozenItem) -> list[Any]:
    data = {**item.metadata, **_label_columns(item)}
    data |= {"file_name": item.name, "size_bytes": item.size_bytes, "sha256": item.sha256}
    return [data[column] for column in METADATA_COLUMNS]


def _label_columns(item: FrozenItem) -> dict[str, str]:
    labels = item.metadata["labels"]

    def join(finding: str) -> str:
        return "|".join(code for code, found, _ in labels if found == finding)

    shares = "|".join(f"{code}={share:g}" for code, _, share in labels if share is not None)
    return {
        "labels": join("positive"),
        "uncertain_labels": join("uncertain"),
        "negative_labels": join("negative"),
        "label_confidence": shares,
    }


def remote_csv(items: Items) -> Iterator[bytes]:
    """The images that have no file here, and where each can be fetched."""
    return _csv(REMOTE_COLUMNS, (_remote_row(item) for item in items() if item.is_remote))


def _remote_row(item: FrozenItem) -> list[Any]:
    data = {**item.metadata, **_label_columns(item), "url": item.metadata["remote_url"]}
    return [data[column] for column in REMOTE_COLUMNS]


def missing_csv(items: Items) -> Iterator[bytes]:
    """The images that were left out because their files were not as the catalog says."""
    return _csv(MISSING_COLUMNS, (_missing_row(item) for item in items() if item.is_left_out))


def _missing_row(item: FrozenItem) -> list[Any]:
    data = {**item.metadata, "sha256": item.sha256, "reason": item.problem}
    return [data[column] for column in MISSING_COLUMNS]


def checksums(items: Items, texts: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """SHA256SUMS: the texts as (name, hash), then every file, as ``sha256sum -c`` reads them."""
    for name, sha256 in texts:
        yield checksum_line(sha256, name).encode()
    for item in items():
        if item.has_file:
            yield checksum_line(item.sha256, item.name).encode()


def _csv(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[bytes]:
    """RFC 4180 with line feeds, in UTF-8, in chunks."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for number, row in enumerate(rows, start=1):
        writer.writerow([_cell(value) for value in row])
        if number % CHUNK_ROWS == 0:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet runs as a formula (OWASP, CSV injection); numbers stay."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else value


def _datasets(collection: Collection) -> list[dict[str, Any]]:
    return collection.provenance["datasets"]
