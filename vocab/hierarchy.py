"""Which terms are narrower than which, at any depth. Django-free."""

from collections.abc import Collection, Iterator, Mapping

Parents = Mapping[int, int | None]


def find_narrower(parents: Parents, active: Collection[int]) -> dict[int, list[int]]:
    """For each active term the active terms below it, at any depth.

    ``parents`` has the broader term of every term, active or not: what is below an inactive term
    still belongs to the terms above it, while the inactive term itself is left out.
    """
    narrower: dict[int, list[int]] = {pk: [] for pk in active}
    for pk in active:
        for above in iter_broader(parents, pk):
            if above in narrower:
                narrower[above].append(pk)
    return narrower


def find_broader(parents: Parents, active: Collection[int]) -> dict[int, int]:
    """For each active term the nearest active term above it, if there is one."""
    nearest = {}
    for pk in active:
        above = next((each for each in iter_broader(parents, pk) if each in active), None)
        if above is not None:
            nearest[pk] = above
    return nearest


def find_related(parents: Parents) -> dict[int, frozenset[int]]:
    """For each term itself and the terms above and below it, at any depth, active or not."""
    related = {pk: {pk} for pk in parents}
    for pk in parents:
        for above in iter_broader(parents, pk):
            related[pk].add(above)
            related[above].add(pk)
    return {pk: frozenset(found) for pk, found in related.items()}


def iter_broader(parents: Parents, pk: int) -> Iterator[int]:
    """The terms above a term, the nearest first.

    Terms of a circle, which two edits at the same moment can make, count as having none above.
    """
    # A walk that leads into a circle ends at its first term, so none comes twice.
    while (above := parents.get(pk)) is not None and not _is_in_circle(parents, pk):
        yield above
        pk = above


def _is_in_circle(parents: Parents, pk: int) -> bool:
    seen: set[int] = set()
    above = parents.get(pk)
    while above is not None and above not in seen:
        if above == pk:
            return True
        seen.add(above)
        above = parents.get(above)
    return False
