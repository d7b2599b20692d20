"""What every source hands to the store: plain rows, away from the database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from catalog.imaging.files import FileFacts


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label by code; ``confidence`` between 0 and 1 where the source gives one."""

    code: str
    finding: str = "positive"
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image of a source; terms by code, sizes in pixels and bytes, age in years."""

    source_id: str
    file_path: str = ""
    facts: FileFacts | None = None
    remote_url: str = ""
    modality: str = ""
    area: str = ""
    subject_id: str = ""
    sex: str = ""
    age_years: float | None = None
    width: int | None = None
    height: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[LabelRow, ...] = ()


@dataclass(slots=True)
class ImportReport:
    """What an import did, in numbers of images; ``rejected`` says which were left out and why."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0
    rejected: list[tuple[str, str]] = field(default_factory=list)
