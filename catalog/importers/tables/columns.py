"""What becomes of each column of a table: whether it is used, kept or left out, and why."""

from collections.abc import Collection, Iterable, Mapping

from catalog.importers.parsers import clean
from catalog.importers.tables.identifying_cells import drop_from_text
from catalog.importers.tables.identifying_columns import is_free_text, is_identifying
from catalog.importers.tables.lines import show
from catalog.importers.tables.specs import MetadataSpec
from catalog.importers.tables.templates import Cells, Header

USED, KEPT = "used", "kept"
_AGE_ALONE = "used for the age alone, as it identifies people"
_LONGEST_SAMPLE = 60


def find_fates(
    header: Header,
    spec: MetadataSpec,
    *,
    kept: Collection[str],
    excluded: Collection[str],
    used: Collection[str],
) -> dict[str, str]:
    """For each column `USED`, `KEPT`, or why it is left out."""
    fates = {}
    for name in header.index:
        if name in kept:
            fates[name] = KEPT
        elif name in excluded:
            fates[name] = f"left out: {_explain(name)}"
        elif name in used:
            fates[name] = _AGE_ALONE if is_identifying(name) else USED
        elif name in spec.drop:
            fates[name] = "left out: drop names it"
        else:
            fates[name] = "left out: only does not name it" if spec.only else USED
    return fates


def add_samples(fates: Mapping[str, str], header: Header, rows: Iterable[Cells]) -> dict[str, str]:
    """The same with a value of each column that is used or kept, of one of the rows."""
    wanted = {name: header.index[name] for name in fates if fates[name] in (USED, KEPT)}
    samples: dict[str, str] = {}
    for cells in rows:
        for name in [name for name, index in wanted.items() if clean(cells[index])]:
            text = drop_from_text(cells[wanted.pop(name)], name)
            samples[name] = show(text, _LONGEST_SAMPLE)
        if not wanted:
            break
    said = {name: f", such as “{text}”" for name, text in samples.items()}
    said |= dict.fromkeys(wanted, ", empty in the first rows")
    return {name: fate + said.get(name, "") for name, fate in fates.items()}


def _explain(name: str) -> str:
    if is_identifying(name):
        return "it identifies people, and is never kept"
    keep = f'keep = ["{show(name)}"] below [metadata] keeps it'
    if is_free_text(name):
        return f"free text may name people; {keep}"
    return f"it may identify people; {keep}"
