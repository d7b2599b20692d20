"""Query strings of filters: with a value more or less, canonical, and from stored filters."""

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from catalog.search.filter_choices import ANY_KIND, NOT_WHOLE, WHOLE
from catalog.search.filters import CatalogFilterSet
from vocab.lookup import HIERARCHIES, Vocabularies
from vocab.text import TermRef


def toggle_value(params: QueryDict, name: str, value: str) -> str:
    """The query string with one value of a filter added or removed, for the first page."""
    changed = params.copy()
    changed.pop("page", None)
    values = changed.getlist(name)
    others = [other for other in values if other != value]
    changed.setlist(name, others if value in values else [*values, value])
    return changed.urlencode()


def swap_value(params: QueryDict, name: str, value: str, other: str) -> str:
    """The query string with another value of a filter in the place of one, for the first page."""
    changed = params.copy()
    changed.pop("page", None)
    values = [other if each == value else each for each in changed.getlist(name)]
    changed.setlist(name, list(dict.fromkeys(values)))
    return changed.urlencode()


def with_values(params: QueryDict, **values: str) -> str:
    """The query string with these values instead of others of the same filters."""
    changed = params.copy()
    changed.pop("page", None)
    for name, value in values.items():
        changed[name] = value
    return changed.urlencode()


def with_query(params: QueryDict, text: str) -> str:
    changed = params.copy()
    changed.pop("q", None)
    if text:
        changed["q"] = text
    return changed.urlencode()


def canonical_params(filters: CatalogFilterSet) -> QueryDict:
    """The filters in force as a query string of codes, without aliases and empty values."""
    params = params_from_json(filters.as_json())
    if filters.data.get("sort"):
        params["sort"] = filters.data["sort"]
    if whole := whole_facets(filters):
        params.setlist(WHOLE, whole)
    return params


def params_from_frozen(filters: Mapping[str, Any], vocabularies: Vocabularies) -> QueryDict:
    """The query string of filters that ``CatalogFilterSet.as_frozen_json`` wrote.

    It finds exactly the terms that are listed: a term with all that is narrower now is one value.
    Filters without kinds were written before kinds were told apart, and mean objects of any kind.
    """
    given = dict(filters)
    given.setdefault("kind", [ANY_KIND])
    for name in HIERARCHIES & given.keys():
        known = {ref.code: ref for ref in vocabularies.terms[name].values()}
        given[name] = _join_narrower(given[name], known)
    return params_from_json(given)


def _join_narrower(codes: list[str], known: Mapping[str, TermRef]) -> list[str]:
    listed = {code: known[code] for code in codes if code in known}
    whole = [ref for ref in listed.values() if all(each.code in listed for each in ref.narrower)]
    joined = {each.code for ref in whole for each in ref.narrower}
    values = {code: ref.alone().value for code, ref in listed.items()}
    values |= {ref.code: ref.code for ref in whole}
    return [values.get(code, code) for code in codes if code not in joined]


def params_from_json(filters: Mapping[str, Any]) -> QueryDict:
    """The query string of filters that ``CatalogFilterSet.as_json`` wrote."""
    params = QueryDict(mutable=True)
    for name, value in filters.items():
        params.setlist(name, [str(item) for item in value] if isinstance(value, list) else [value])
    if "image" in params:
        # One filter, as in ``active_filters``, which also makes a shorter URL.
        params["image"] = ",".join(params.getlist("image"))
    return params


def whole_facets(filters: CatalogFilterSet) -> list[str]:
    whole = dict.fromkeys(filters.data.getlist(WHOLE))
    not_whole = filters.data.getlist(NOT_WHOLE)
    return [name for name in whole if name in filters.filters and name not in not_whole]
