"""Gives terms their broader terms, and keeps circles out."""

from collections.abc import Iterable, Mapping
from typing import Any

from vocab.models import describe_cycle


def load_known(model: Any) -> dict[str, Any]:
    """All terms by code; the broader term of each is the same object as in this dictionary."""
    terms = {term.pk: term for term in model._default_manager.all()}
    for term in terms.values():
        if getattr(term, "broader_id", None):
            term.broader = terms[term.broader_id]
    return {term.code: term for term in terms.values()}


def move_terms(
    wanted: Mapping[str, str], known: Mapping[str, Any]
) -> tuple[set[str], dict[str, str]]:
    """Save the broader terms of terms, both by their codes; an empty code is none.

    All are set before any is checked, so their order does not matter. One that would make a circle
    stays as it was. Returns the codes of the terms that moved, and of those that stayed with why.
    """
    before = {code: known[code].broader for code in wanted}
    for code, above in wanted.items():
        known[code].broader = known[above] if above else None
    moved = [code for code in wanted if known[code].broader is not before[code]]
    refused: dict[str, str] = {}
    # Every circle has a term that was moved, as there was none before.
    while found := _find_circle(moved, known):
        code, path = found
        refused[code] = describe_cycle(path)
        known[code].broader = before[code]
        moved.remove(code)
    for code in moved:
        known[code].save(update_fields=["broader"])
    return set(moved), refused


def _find_circle(codes: Iterable[str], known: Mapping[str, Any]) -> tuple[str, list[Any]] | None:
    for code in codes:
        if path := known[code].find_cycle():
            return code, path
    return None
