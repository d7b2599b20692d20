"""The entity-relationship diagram docs/diagrams/schema.svg, drawn from the models.

``reading`` turns Django's models into plain tables; ``layout`` places them, ``wiring`` leads the
lines between them, and ``svg`` writes the picture. All but ``reading`` are pure.
"""

from medagg.schema_diagram.layout import NoPlace
from medagg.schema_diagram.svg import draw_schema
from medagg.schema_diagram.tables import Field, Kind, Table

__all__ = ["Field", "Kind", "NoPlace", "Table", "draw_schema"]
