"""The synthetic demo dataset: phantom radiographs drawn by ``catalog.demo.phantoms.chest``."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from catalog.demo.demo_files import read_local_facts, write_if_changed
from catalog.demo.phantoms.chest import Phantom, iter_phantoms, render_phantom
from catalog.imaging.paths import FileFacts
from catalog.importers.rows import ImageRow, LabelRow

# Raise it with every change of the drawing.
DRAWING_VERSION = 1
SLUG = "synthetic-chest-phantoms"
ENTRY: dict[str, Any] = {
    "slug": SLUG,
    "title": "Synthetic chest phantoms (demo)",
    "description": (
        "Computer-drawn pictures in the style of chest radiographs, made by medagg itself so that "
        "every installation has images to try things on. They show no patient and teach no "
        "medicine: findings are placed by rule, several pictures belong to one made-up subject, "
        "and the same bytes are drawn on every machine."
    ),
    "area": "chest",
    "modalities": ["dx"],
    "task_types": ["classification"],
    "tags": ["synthetic", "png"],
    "license": "cc0-1.0",
    "citation": "Synthetic chest phantoms, drawn by medagg.",
    "local_path": SLUG,
    "is_synthetic": True,
}


def write_phantoms(folder: Path, *, known: Mapping[str, str]) -> Iterator[ImageRow]:
    """Draw every phantom into ``folder`` and yield its row.

    ``known`` maps file paths to the SHA-256 of phantoms drawn by this DRAWING_VERSION; files that
    still have it are not drawn again.
    """
    for phantom in iter_phantoms():
        facts = _read_if_known(folder, phantom.file_name, known)
        if facts is None:
            write_if_changed(folder / phantom.file_name, render_phantom(phantom))
            facts = read_local_facts(folder, phantom.file_name)
        yield _row(phantom, facts)


def known_phantoms(images: QuerySet) -> dict[str, str]:
    """Path and SHA-256 of the phantoms that were drawn by the present DRAWING_VERSION."""
    of_this_version = images.filter(metadata_json__drawing=DRAWING_VERSION)
    return dict(of_this_version.values_list("file_path", "sha256"))


def _read_if_known(folder: Path, path: str, known: Mapping[str, str]) -> FileFacts | None:
    if path not in known or not (folder / path).is_file():
        return None
    facts = read_local_facts(folder, path)
    return facts if facts.sha256 == known[path] else None


def _row(phantom: Phantom, facts: FileFacts) -> ImageRow:
    return ImageRow(
        source_id=Path(phantom.file_name).stem,
        file_path=phantom.file_name,
        facts=facts,
        modality="dx",
        view=phantom.view,
        subject_id=phantom.subject_id,
        sex=phantom.sex,
        age_years=phantom.age_years,
        width=phantom.width,
        height=phantom.height,
        metadata={"view": phantom.view, "synthetic": True, "drawing": DRAWING_VERSION},
        labels=tuple(LabelRow(code) for code in phantom.labels),
    )
