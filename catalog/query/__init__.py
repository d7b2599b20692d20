"""Reading what is typed into the search box. Pure: no database, no Django."""

from catalog.query.parsed import Match, ParsedQuery, Word
from catalog.query.reading import parse_query
from catalog.query.spellings import Spellings, Value

__all__ = ["Match", "ParsedQuery", "Spellings", "Value", "Word", "parse_query"]
