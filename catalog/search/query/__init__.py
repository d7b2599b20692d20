"""Parses what is typed into the search box. Django-free.

Text comes in, filters and plain words go out. ``tokens`` cuts the text; ``phrases`` has fixed
phrases and negations, ``age_phrases`` ages; ``spellings`` finds the vocabularies' terms, corrects
typos with ``similar_words`` and ``word_forms`` and heeds ``signs``, ``dataset_names`` finds the
datasets; ``parser`` puts them together, with ``alternatives``; ``parsed`` is the result, of which
``doubts`` says what may not be meant and ``removal`` takes terms away.
"""

from catalog.search.query.dataset_names import NamedDataset
from catalog.search.query.parsed import Match, ParsedQuery, Word
from catalog.search.query.parser import parse_query
from catalog.search.query.removal import remove_matches
from catalog.search.query.signs import say_signs
from catalog.search.query.spellings import Spellings, Value
from catalog.search.query.tokens import clean_text, count_words, list_chunks

__all__ = [
    "Match",
    "NamedDataset",
    "ParsedQuery",
    "Spellings",
    "Value",
    "Word",
    "clean_text",
    "count_words",
    "list_chunks",
    "parse_query",
    "remove_matches",
    "say_signs",
]
