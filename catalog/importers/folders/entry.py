"""The catalog entry of a folder without a table."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.text import slugify

from catalog.imaging.paths import UnsafePath
from catalog.importers.folders.bids_dataset import FILE, DatasetDescription
from catalog.importers.folders.survey import UnknownFolder
from catalog.limits import MAX_SLUG, MAX_TITLE
from catalog.models import Dataset
from catalog.storage.roots import resolve_dataset_root


def make_entry(
    folder: Path,
    *,
    slug: str,
    title: str,
    fields: Mapping[str, Any],
    described: DatasetDescription,
) -> dict[str, Any]:
    """The entry of the dataset in ``folder``, for ``published.save_dataset``.

    The default of ``slug``, and of ``title`` for a new dataset, is made from the folder's name.
    What the folder's own description says fills what is neither given nor known. Empty values are
    not part of the entry, so an existing dataset keeps what it has; where the description says
    something else, that is noted in it.

    Raises:
        UnknownFolder: the folder may not be used, has no usable name, or the dataset of that slug
            has its files elsewhere. The message says what to do.
    """
    path = _find_local_path(folder)
    found = slug or _make_slug(folder)
    dataset = Dataset.objects.filter(slug=found).first()
    if dataset is None:
        title = title or described.title or _make_title(folder)
    else:
        path = _require_same_folder(dataset, folder, path, is_asked=bool(slug))
        if dataset.title == _make_title(folder):
            title = title or described.title
    known = {"license": described.license, "doi": described.doi}
    given = {"title": title, **fields}
    for name, value in known.items():
        given[name] = given.get(name) or _fill(dataset, name, value, described.notes)
    named = {name: value for name, value in given.items() if value}
    return {"slug": found, "local_path": path, **named}


def _fill(dataset: Dataset | None, name: str, value: str, notes: list[str]) -> str:
    """A described value, if the dataset has none yet."""
    if dataset is None or not value:
        return value
    license_code = dataset.license.code if dataset.license else ""
    current = {"license": license_code, "doi": dataset.doi}[name]
    if current and current != value:
        notes.append(
            f"{FILE} says {name} “{value}”, and the dataset keeps “{current}”: change it in the "
            "admin if that is wrong"
        )
    return "" if current else value


def _find_local_path(folder: Path) -> str:
    """The value of ``Dataset.local_path``: relative if in the first of the dataset folders."""
    roots: list[Path] = settings.DATASET_ROOTS
    if folder in roots:
        raise UnknownFolder(
            f"{folder} is itself one of the dataset folders; each dataset needs a folder in it. "
            "Name such a folder, or set MEDAGG_DATASET_ROOTS to the parent."
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
            f"No short name for URLs can be made from the folder's name “{folder.name}”. Give one: "
            "--slug my-dataset."
        )
    return slug


def _make_title(folder: Path) -> str:
    words = " ".join(re.split(r"[\s_]+", folder.name)).strip()
    return (words[:1].upper() + words[1:])[:MAX_TITLE]


def _require_same_folder(dataset: Dataset, folder: Path, path: str, *, is_asked: bool) -> str:
    """Refuse to mix two datasets, as an import removes images that it does not find."""
    if dataset.local_path:
        if _resolves_to(dataset.local_path, folder):
            return dataset.local_path
        raise UnknownFolder(
            f"The dataset {dataset.slug} has its files in “{dataset.local_path}”. Choose another "
            "--slug for this folder, or change the dataset's local path in the admin."
        )
    if not is_asked and dataset.images.exists():
        raise UnknownFolder(
            f"The dataset {dataset.slug} exists and has images elsewhere. Choose another --slug "
            f"for this folder, or give --slug {dataset.slug} to replace these images."
        )
    return path


def _resolves_to(local_path: str, folder: Path) -> bool:
    try:
        return resolve_dataset_root(local_path) == folder
    except UnsafePath:
        return False
