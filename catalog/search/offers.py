"""What the images page offers where nothing matches, beside taking filters away.

Words of a query that name nothing never widen it to the images of a dataset that mentions them: the
dataset is offered instead. So is the page of a dataset that was asked for and lists no images.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from django.http import QueryDict

from catalog.search.filters import ImageFilterSet
from catalog.search.full_text import rank_datasets, rank_similar_titles, say_where
from catalog.search.kinds import count_kinds, or_any_kind
from catalog.search.query import Word
from catalog.search.query_strings import canonical_params
from catalog.wording.object_counts import noun_of
from vocab.text import TermRef

MAX_OFFERS = 5


@dataclass(frozen=True, slots=True)
class Offer:
    """A dataset that mentions the words in its ``place``; with "" its title only resembles them.

    ``query_string`` shows its ``total`` images that match the rest of the search, called ``noun``.
    """

    dataset: TermRef
    words: str
    place: str
    total: int
    noun: str
    query_string: str


def offer_datasets(filters: ImageFilterSet) -> list[Offer]:
    """The datasets that mention the words which name no filter, those with images first.

    A view is looked for as well, in datasets that do not tell the views of their images.
    """
    views = [match for match in filters.parsed_query.matches if match.name == "view"]
    words = [word for word in filters.parsed_query.words if not word.is_excluded]
    words = sorted([*words, *(word for match in views for word in match.as_words())], key=_start)
    if not words:
        return []
    text = " ".join(map(str, words))
    by_id = {ref.id: ref for ref in filters.snapshot.refs.values()}
    ranks = rank_datasets(text) or rank_similar_titles(text, filters.snapshot.refs)
    # The database may have datasets that the snapshot does not have yet.
    ranks = {pk: rank for pk, rank in ranks.items() if pk in by_id}
    if views:
        tell = _find_with_views(filters)
        ranks = {pk: rank for pk, rank in ranks.items() if pk not in tell}
    best = sorted(ranks, key=lambda pk: (-ranks[pk], pk))[:MAX_OFFERS]
    places = say_where(text, dataset_ids=best)
    offers = []
    for pk in best:
        params = _params_for(filters, by_id[pk])
        found = or_any_kind(filters.with_params(params))
        shown = " ".join(word.text for word in words)
        noun = noun_of(count_kinds(found.counted))
        query_string = canonical_params(found).urlencode()
        offers.append(Offer(by_id[pk], shown, places.get(pk, ""), found.total, noun, query_string))
    return sorted(offers, key=lambda offer: not offer.total)


def _start(word: Word) -> int:
    return word.start


def _find_with_views(filters: ImageFilterSet) -> Collection[int]:
    """The datasets of which some images have a view."""
    views = filters.snapshot.vocabularies.terms["view"]
    column = filters.snapshot.images.columns["view"]
    return filters.all_rows.where(column.any_of(views)).count().sums("dataset")


def _params_for(filters: ImageFilterSet, dataset: TermRef) -> QueryDict:
    params = canonical_params(filters)
    query = filters.parsed_query
    views = (match for match in query.matches if match.name == "view")
    words = (word for word in query.words if not word.is_excluded)
    params["q"] = query.without(*views, *words)
    if not params["q"]:
        params.pop("q")
    params["dataset"] = dataset.code
    return params


def list_unlisted(filters: ImageFilterSet) -> list[TermRef]:
    """The datasets asked for, by filter or by name, of which the catalog lists no images."""
    listed = filters.all_rows.count().sums("dataset")
    return [ref for ref in dict.fromkeys(_list_wanted(filters)) if ref.id not in listed]


def _list_wanted(filters: ImageFilterSet) -> Iterator[TermRef]:
    yield from filters.cleaned.get("dataset") or ()
    for match in filters.parsed_query.matches:
        if match.name == "dataset":
            yield from (value for value in match.values if isinstance(value, TermRef))
