"""Tables in long form, as REDCap exports: a row says in one column what another one holds."""

from collections.abc import Collection

from catalog.importers.tables.identifying_cells import is_naming, is_of_value, tells_person_of
from catalog.importers.tables.templates import Cells, Header


class LongForm:
    """Judges the values of rows such as `field_name | value`, as objects of such keys are judged.

    `values` are their columns, but for those in `keep`; none if the table has no such form.
    """

    def __init__(self, header: Header, keep: Collection[str] = ()) -> None:
        naming = [name for name in header.index if is_naming(name)]
        values = [name for name in header.index if is_of_value(name)]
        self.values = frozenset(values).difference(keep) if naming else frozenset()
        self._places = [(name, header.index[name]) for name in (*naming, *values)]

    def find_told(self, cells: Cells) -> frozenset[str]:
        """The columns whose cells in this row are a person's name, birth or the like."""
        if not self.values:
            return self.values
        row = {name: cells[place] for name, place in self._places}
        return self.values if tells_person_of(row, "") else frozenset()
