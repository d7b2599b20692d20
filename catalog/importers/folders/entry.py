"""Which catalog entry a folder without a table belongs to."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.text import slugify

from catalog.imaging.paths import UnsafePath
from catalog.importers.folders.survey import UnknownFolder
from catalog.limits import MAX_SLUG, MAX_TITLE
from catalog.models import Dataset
from catalog.storage.roots import resolve_dataset_root


def make_entry(folder: Path, *, slug: str, title: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of the dataset in ``folder``, for ``published.save_dataset``.

    An empty ``slug`` follows from the folder's name; an empty ``title`` does at first, and later
    stays as it is. Of ``fields`` those that are given go into the entry; all others stay.

    Raises:
        UnknownFolder: the folder may not be used, has no usable name, or the dataset of that slug
            has its files elsewhere. The message says what to do.
    """
    path = _find_local_path(folder)
    found = slug or _make_slug(folder)
    dataset = Dataset.objects.filter(slug=found).first()
    if dataset is None:
        title = title or _make_title(folder)
    else:
        path = _require_same_folder(dataset, folder, path, is_asked=bool(slug))
    given = {"title": title, **fields}
    named = {name: value for name, value in given.items() if value}
    return {"slug": found, "local_path": path, **named}


def _find_local_path(folder: Path) -> str:
    """The folder as ``Dataset.local_path`` has it: relative in the first of the dataset folders."""
    roots: list[Path] = settings.DATASET_ROOTS
    if folder in roots:
        raise UnknownFolder(
            f"{folder} is itself one of the dataset folders, which hold a folder for each dataset. "
            "Name a folder in it, or set MEDAGG_DATASET_ROOTS to its parent."
        )
    try:
        resolve_dataset_root(str(folder))
    except UnsafePath:
        shown = ", ".join(map(str, roots))
        raise UnknownFolder(
            f"The folder {folder} lies outside the dataset folders ({shown}). Move it into one of "
            f"them, or add its parent, {folder.parent}, to MEDAGG_DATASET_ROOTS (for the server "
            "and its worker too), and import it again."
        ) from None
    return str(folder.relative_to(roots[0]) if folder.is_relative_to(roots[0]) else folder)


def _make_slug(folder: Path) -> str:
    slug = slugify(folder.name)[:MAX_SLUG].strip("-_")
    if not slug:
        raise UnknownFolder(
            f"The folder's name “{folder.name}” makes no short name for URLs. Give one, such as "
            "--slug my-dataset."
        )
    return slug


def _make_title(folder: Path) -> str:
    words = " ".join(re.split(r"[\s_]+", folder.name)).strip()
    return (words[:1].upper() + words[1:])[:MAX_TITLE]


def _require_same_folder(dataset: Dataset, folder: Path, path: str, *, is_asked: bool) -> str:
    """Not two datasets in one: an import removes the images that it does not find."""
    if dataset.local_path:
        if _resolves_to(dataset.local_path, folder):
            return dataset.local_path
        raise UnknownFolder(
            f"The dataset {dataset.slug} has its files in “{dataset.local_path}”. Choose another "
            "--slug for this folder, or change the dataset's local path in the admin."
        )
    if not is_asked and dataset.images.exists():
        raise UnknownFolder(
            f"There is a dataset {dataset.slug} with images that lie elsewhere. Choose another "
            f"--slug for this folder, or say --slug {dataset.slug} to replace them."
        )
    return path


def _resolves_to(local_path: str, folder: Path) -> bool:
    try:
        return resolve_dataset_root(local_path) == folder
    except UnsafePath:
        return False
