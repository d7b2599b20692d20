"""Images as cards of a grid, in one query; names come from the snapshot."""

from dataclasses import dataclass

from django.urls import reverse

from catalog.models import Availability, Sex
from catalog.previews.elsewhere import may_have_preview
from catalog.querysets import ImageQuerySet
from catalog.search.snapshot import Snapshot
from catalog.wording.formats import file_size, number
from vocab.models import Kind

_FIELDS = ("pk", "source_id", "dataset_id", "modality_id", "sex", "age_years",
           "profile__availability", "profile__label_ids", "remote_url", "size_bytes",
           "num_files")  # fmt: skip
_PLACES = {each.value: each.short_label for each in Availability}
_SEXES = {code: str(name) for code, name in Sex.choices} | {"": ""}


@dataclass(frozen=True, slots=True)
class Card:
    """What a grid shows of an image; ``preview_url`` is empty if there can be no preview.

    ``place`` says where it is, if not here: a preview may then come later, or not at all. ``size``
    is that of its files, empty if not known; ``files`` is their number, empty for one.

    ``key`` is the primary key as text, ``modality`` a code in capitals, and ``labels`` are the
    names of positive, active labels.
    """

    pk: int
    key: str
    source_id: str
    url: str
    preview_url: str
    place: str
    size: str
    files: str
    modality: str
    modality_name: str
    sex: str
    age: str
    labels: list[str]
    dataset: str


def fetch_cards(snapshot: Snapshot, images: ImageQuerySet) -> list[Card]:
    """The images as cards, in the order of the query."""
    terms = snapshot.vocabularies.terms
    # Once a page: Django composes each address anew.
    page, preview = (reverse(name, args=[0]) for name in ("image-detail", "image-preview"))
    cards = []
    for row in images.values_list(*_FIELDS):
        pk, source_id, dataset_id, modality_id, sex, age, place, label_ids, address, size, files = (
            row
        )
        is_here = place == Availability.HERE
        kind = snapshot.vocabularies.kinds.get(modality_id, Kind.PICTURE)
        has_preview = is_here or may_have_preview(address, kind)
        modality = terms["modality"].get(modality_id)
        names = [terms["label"][pk].name for pk in label_ids if pk in terms["label"]]
        cards.append(
            Card(
                pk=pk,
                key=str(pk),
                source_id=source_id,
                url=page.replace("0", str(pk)),
                preview_url=f"{preview.replace('0', str(pk))}?size=small" if has_preview else "",
                place="" if is_here else _PLACES[place],
                size=file_size(size) if size else "",
                files=f"{number(files)} files" if files > 1 else "",
                modality=modality.code.upper() if modality else "",
                modality_name=modality.name if modality else "",
                sex=_SEXES[sex],
                age="" if age is None else f"{age:.1f}".removesuffix(".0"),
                labels=sorted(names),
                dataset=snapshot.titles[dataset_id],
            )
        )
    return cards
