"""Parses what is typed into the search box. Django-free."""

from catalog.search.query.parsed import Match, ParsedQuery, Word
from catalog.search.query.reading import parse_query
from catalog.search.query.spellings import Spellings, Value

__all__ = ["Match", "ParsedQuery", "Spellings", "Value", "Word", "parse_query"]
