"""What the rows of one dataset say, as an entry; what they contradict each other in is left out."""

from collections.abc import Mapping, Sequence
from typing import Any

from catalog.importers.survey.merging import Group
from catalog.importers.survey.rows import SurveyRow
from catalog.importers.survey.words import Find, read_dimensions, understand
from catalog.models import Survey


def make_entry(group: Group, find: Find) -> tuple[dict[str, Any], list[str]]:
    """The entry of a new dataset, and sentences on what was not taken and why.

    Diseases are taken of volumes and videos only: among plain pictures, the survey's column often
    has those of another row. Access and licence are not in the survey, so they stay unknown.
    """
    rows, notes = group.rows, list[str]()
    entry: dict[str, Any] = {
        "slug": group.slug,
        "title": _find_title(group),
        "source_url": next((row.address for row in rows if row.address), ""),
        "year": _agree("year", [row.known_year for row in rows], notes),
        "dimensions": read_dimensions(row.dimensions for row in rows),
        "has_labels": _agree("has_labels", [row.says_labels for row in rows], notes),
        "survey": Survey.IMAGING_X.value,
        "rows": group.names,
    }
    areas = _understand("area", [row.structure for row in rows], find, notes)
    entry["area"], entry["other_areas"] = "".join(areas[:1]), areas[1:]
    entry["modalities"] = _understand("modality", [row.modality for row in rows], find, notes)
    entry["task_types"] = _understand("task", [row.tasks for row in rows], find, notes)
    diseases = [row.diseases for row in rows if not row.is_of_stills]
    entry["labels"] = _understand("label", diseases, find, notes)
    entry |= _count(rows, notes)
    if len(group.names) > 1:
        entry["parts"] = group.names
    return {name: value for name, value in entry.items() if value not in ("", None, [])}, notes


def _find_title(group: Group) -> str:
    return min(group.names, key=len)


def _understand(vocabulary: str, cells: Sequence[str], find: Find, notes: list[str]) -> list[str]:
    codes = list[str]()
    for cell in dict.fromkeys(cells):
        found, unknown = understand(vocabulary, cell, find)
        codes += found
        notes += [f"{vocabulary} “{word}” is no term" for word in unknown]
    return list(dict.fromkeys(codes))


def _agree(name: str, values: Sequence[Any], notes: list[str]) -> Any:
    """The value that all rows have; None if they differ."""
    stated = set(values) - {None}
    if len(stated) > 1:
        notes.append(f"{name} differs: {', '.join(sorted(map(str, stated)))}")
        return None
    return stated.pop() if stated else None


def _count(rows: Sequence[SurveyRow], notes: list[str]) -> Mapping[str, Any]:
    counts = {row.count() for row in rows} - {(0, False)}
    if len(counts) > 1:
        said = ", ".join(f"{number:,}" for number, _ in sorted(counts))
        notes.append(f"the number of samples differs: {said}")
        return {}
    if not counts:
        return {}
    number, is_rounded = counts.pop()
    return {"num_images": number} | ({"is_num_rounded": True} if is_rounded else {})
