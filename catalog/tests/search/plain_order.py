"""The order of images in plain Python, from the images themselves."""

from collections.abc import Iterable
from itertools import groupby, zip_longest

from catalog.models import Image
from catalog.querysets import ImageQuerySet

FIRST = 2
_Key = tuple[bool, bool, bool]


def order_plainly(images: ImageQuerySet) -> list[int]:
    """Here, pictures, patients; of each of these the first two of each profile, then the rest.

    Datasets take turns.
    """
    chosen = images.select_related("modality", "dataset").prefetch_related("dataset__tags")
    found = sorted(chosen, key=lambda image: (*_rank(image), image.dataset_id, image.profile_id,
                                              image.pk))  # fmt: skip
    ordered: list[int] = []
    for _, of_rank in groupby(found, key=_rank):
        datasets = [
            [[image.pk for image in profile] for _, profile in groupby(rows, key=_profile)]
            for _, rows in groupby(of_rank, key=lambda image: image.dataset_id)
        ]
        in_turn = [ids for turn in zip_longest(*datasets) for ids in turn if ids]
        ordered += _flat(ids[:FIRST] for ids in in_turn)
        ordered += _flat(ids[FIRST:] for ids in in_turn)
    return ordered


def _rank(image: Image) -> _Key:
    tags = {tag.code for tag in image.dataset.tags.all() if tag.is_active}
    is_picture = image.modality is None or image.modality.kind == "picture"
    shows_nobody = image.dataset.is_synthetic or bool(tags & {"synthetic", "phantom", "test-files"})
    return not image.file_path, not is_picture, shows_nobody


def _profile(image: Image) -> int:
    return image.profile_id or 0


def _flat(lists: Iterable[list[int]]) -> Iterable[int]:
    return (pk for ids in lists for pk in ids)
