"""Pages of the vocabularies: every code that filters, tables and archives use."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from catalog.search.columns import Rows
from catalog.search.facets import TermUses, count_term_uses
from catalog.search.kinds import count_kinds, query_of_kinds
from catalog.search.snapshot import current_snapshot
from catalog.wording.object_counts import only_others
from vocab.lookup import VOCABULARIES
from vocab.spellings import has_areas

TITLES = {
    "modality": "modalities",
    "area": "anatomical areas",
    "label": "labels",
    "view": "view positions",
    "task": "tasks",
    "license": "licences",
    "tag": "tags",
}
TERMS_PER_PAGE = 200
MAX_WORDS = 100


@require_safe
def first_vocabulary(request: HttpRequest) -> HttpResponse:
    return redirect("vocabulary", next(iter(TITLES)))


@require_safe
def vocabulary(request: HttpRequest, name: str) -> HttpResponse:
    """The active terms of a vocabulary, with their aliases and numbers of objects and datasets."""
    model: Any = VOCABULARIES.get(name)
    if model is None:
        raise Http404(f"There is no vocabulary “{name}”.")
    words = request.GET.get("q", "").replace("\0", "").strip()[:MAX_WORDS]
    terms = model.objects.active().order_by("code").prefetch_related("aliases")
    if has_areas(model):
        terms = terms.prefetch_related("aliases__area")
    if words:
        named = Q(code__icontains=words) | Q(name__icontains=words)
        terms = terms.filter(named | Q(aliases__text__icontains=words)).distinct()
    page = Paginator(terms, TERMS_PER_PAGE).get_page(request.GET.get("page"))
    snapshot = current_snapshot()
    uses = count_term_uses(snapshot, name)
    others = only_others(count_kinds(Rows(snapshot.images).count()))
    unused = TermUses(0, 0, 0)  # a term may be newer than the snapshot
    rows = [(term, *uses.get(term.pk, unused)) for term in page]
    return render(
        request,
        "catalog/vocabulary.html",
        {
            "name": name,
            "title": TITLES[name],
            "vocabularies": TITLES.items(),
            "has_datasets": name in snapshot.datasets.columns,
            "others": others,
            "other_kinds": query_of_kinds(others),
            "query_text": words,
            "params": request.GET,
            "page": page,
            "rows": rows,
        },
    )
