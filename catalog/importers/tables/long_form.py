"""Tables in long form, as REDCap exports: a row says in one column what another one holds."""

import re
from collections.abc import Collection

from catalog.importers.tables.identifying_cells import is_naming, is_of_value, tells_person_of
from catalog.importers.tables.labels import Remembered
from catalog.importers.tables.templates import Cells, Header

# Codes such as R91 and numbers name nothing, but for tags of DICOM.
_MAY_NAME = re.compile(r"[^\W\d_]{2}|^\(?00|[\u3040-\u9fff]")
# Nor does `Patient 1`, which is a row's own name.
_SOMEBODY = re.compile(
    r"(?:patient|doctor|surgeon|radiologist|technician|consultant|pathologist)s?\W*\d*",
    re.IGNORECASE,
)


class LongForm:
    """Judges the values of rows such as `field_name | value`, as objects of such keys are judged.

    `values` are their columns, but for those in `keep`; none if the table has no such form.
    """

    def __init__(self, header: Header, keep: Collection[str] = ()) -> None:
        self._naming = [name for name in header.index if is_naming(name)]
        self._of_values = [name for name in header.index if is_of_value(name)]
        self.values = frozenset(self._of_values if self._naming else ()).difference(keep)
        self._places = [header.index[name] for name in self._naming]
        self._tells = Remembered(self._tell)

    def find_told(self, cells: Cells) -> frozenset[str]:
        """The columns whose cells in this row are a person's name, birth or the like."""
        if not self.values:
            return self.values
        names = tuple(_keep_name(cells[place]) for place in self._places)
        return self.values if self._tells[names] else frozenset()

    def _tell(self, names: tuple[str, ...]) -> bool:
        row = dict.fromkeys(self._of_values, "") | dict(zip(self._naming, names, strict=True))
        return tells_person_of(row, "")


def _keep_name(text: str) -> str:
    return text if _MAY_NAME.search(text) and not _SOMEBODY.fullmatch(text) else ""
