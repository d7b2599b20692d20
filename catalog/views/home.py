"""The first page: what the catalog has."""

from typing import Any, NamedTuple

from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from catalog.models import Availability, Image, ImageProfile
from catalog.search.availability import AvailabilityCounts
from catalog.search.columns import Rows
from catalog.search.facets import count_term_uses
from catalog.search.kinds import count_kinds, pictures_of, query_of_kinds
from catalog.search.shared import Shared
from catalog.search.snapshot import Snapshot, current_snapshot
from catalog.wording.object_counts import only_others
from vocab.models import Kind

SAMPLE_IMAGES, SAMPLE_PIXELS, SAMPLED_PROFILES = 5, 200, 200
# Often test patterns.
OTHER_MODALITY = "ot"


class _Described(NamedTuple):
    snapshot: Snapshot
    context: dict[str, Any]


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "catalog/home.html", _described.get().context)


def _describe(last: _Described | None) -> _Described:
    """What the page says of the catalog, made once for each of its states."""
    snapshot = current_snapshot()
    if last and last.snapshot is snapshot:
        return last
    pictures = pictures_of(snapshot).count()
    others = only_others(count_kinds(Rows(snapshot.images).count()))
    context = {
        "num_datasets": len(snapshot.datasets),
        "num_images": pictures.total,
        "kinds": count_kinds(pictures),
        "others": others,
        "other_kinds": query_of_kinds(others),
        "files": AvailabilityCounts.of(pictures),
        "modalities": _count_by(snapshot, "modality"),
        "areas": _count_by(snapshot, "area"),
        "samples": _sample_images(),
    }
    return _Described(snapshot, context)


_described = Shared(_describe)


def _sample_images() -> list[Image]:
    """A picture on this server of each of a few modalities.

    Only the first image of the largest profiles is looked at, so that the cost has a bound.
    """
    local = ImageProfile.objects.active().filter(
        availability=Availability.HERE, modality__is_active=True, modality__kind=Kind.PICTURE
    )
    first = Image.objects.filter(profile=OuterRef("pk")).order_by("pk").values("pk")[:1]
    largest = local.exclude(modality__code=OTHER_MODALITY).order_by("-num_images", "pk")
    ids = list(largest.values_list(Subquery(first), flat=True)[:SAMPLED_PROFILES])
    found = Image.objects.select_related("modality").in_bulk(ids)
    of_modality: dict[int | None, Image] = {}
    for pk in ids:
        image = found.get(pk)
        if image and min(image.width or 0, image.height or 0) >= SAMPLE_PIXELS:
            of_modality.setdefault(image.modality_id, image)
    return list(of_modality.values())[:SAMPLE_IMAGES]


def _count_by(snapshot: Snapshot, name: str) -> list[dict[str, Any]]:
    """Active terms in use with their numbers of pictures, other objects and datasets.

    The most used come first.
    """
    terms = snapshot.vocabularies.terms[name]
    counted = [
        {
            "code": terms[pk].code,
            "name": terms[pk].name,
            "note": terms[pk].note,
            "num_images": uses.pictures,
            "num_others": uses.others,
            "num_datasets": uses.datasets,
        }
        for pk, uses in count_term_uses(snapshot, name).items()
        if any(uses)
    ]
    return sorted(counted, key=lambda c: (-c["num_datasets"], -c["num_images"], c["name"]))
