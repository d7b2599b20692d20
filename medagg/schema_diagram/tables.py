"""Tables and their fields as the diagram and docs/db-schema.md know them. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a field is for; the values are the marks that the diagram prints."""

    PLAIN = ""
    PRIMARY = "PK"
    FOREIGN = "FK"
    MANY = "M–N"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a table.

    ``type`` is a short PostgreSQL type, empty for many-to-many fields, which have no column.
    ``uniques`` are marks: ``U`` for a field that is unique by itself, ``U1``, ``U2`` … for the
    first, second … combination of fields that is unique together.
    ``target`` names the table that a relation leads to. ``through`` names the table that makes a
    many-to-many relation; empty where Django makes one of its own that is not drawn.
    """

    name: str
    type: str
    kind: Kind = Kind.PLAIN
    is_nullable: bool = False
    uniques: tuple[str, ...] = ()
    target: str = ""
    through: str = ""

    @property
    def words(self) -> str:
        """The type as a reader sees it; a question mark says that it may be NULL."""
        if self.kind is Kind.MANY:
            return f"{self.kind} {self.target}"
        return f"{self.type}?" if self.is_nullable else self.type

    @property
    def has_line(self) -> bool:
        """Whether the diagram draws this relation; a linking table draws its own two halves."""
        return bool(self.target) and not self.through


@dataclass(frozen=True, slots=True)
class Table:
    """A table under its model's name; ``links`` says which many-to-many relation it makes."""

    name: str
    app: str
    fields: tuple[Field, ...]
    links: str = ""

    def find_row(self, field_name: str) -> int:
        return [field.name for field in self.fields].index(field_name)
