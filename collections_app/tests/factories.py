import zipfile
from pathlib import Path

import factory
from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import QueryDict
from factory.django import DjangoModelFactory

from catalog.models import Dataset
from catalog.search.filters import ImageFilterSet
from catalog.tests.factories import (
    DatasetFactory,
    ImageFactory,
    add_file,
    dataset_folder,
    make_searchable,
)
from collections_app.builds.build import build_collection
from collections_app.models import Collection
from collections_app.services import create_collection
from collections_app.storage import archive_file
from vocab.tests.factories import LicenseFactory, ModalityFactory


class UserFactory(DjangoModelFactory):
    class Meta:
        model = get_user_model()
        django_get_or_create = ("username",)

    username = factory.Sequence(lambda n: f"researcher-{n}")


def make_dataset(slug: str = "rays", *, files: int = 5, remote: int = 0) -> Dataset:
    """A dataset of ``files`` small local images and ``remote`` images without a local file."""
    dataset = DatasetFactory(
        slug=slug, title="Rays", license=LicenseFactory(code="cc-by-4.0"), citation="Ray et al."
    )
    dx = ModalityFactory(code="dx")
    for number in range(files):
        image = ImageFactory(
            dataset=dataset,
            source_id=f"{slug}-{number:03}",
            modality=dx,
            sex="FM"[number % 2],
            age_years=40 + number % 50,
            subject_id=f"subject-{number // 2}",
            labels=["nodule"] if number % 3 else ["normal"],
        )
        add_file(image, f"pixels of {slug} {number}".encode() * 40, f"deep/{number:03}.png")
    for number in range(remote):
        ImageFactory(
            dataset=dataset,
            source_id=f"{slug}-remote-{number:03}",
            remote_url=f"s3://bucket/{slug}/{number}",
            sex="F",
        )
    make_searchable()
    return dataset


def make_collection(query: str = "", **kwargs: object) -> Collection:
    """A pending collection of the images that a query string selects, created as by the page."""
    filters = ImageFilterSet(QueryDict(query))
    values = {"user": UserFactory(), "title": "My rays", "expected_images": filters.total}
    return create_collection(filters=filters, **{**values, **kwargs})  # type: ignore[arg-type]


def build(collection: Collection) -> Collection:
    """The collection after its build, ready or failed."""
    build_collection(collection_id=collection.pk)
    collection.refresh_from_db()
    return collection


def make_ready(query: str = "", **values: object) -> Collection:
    """``make_collection``, built."""
    collection = build(make_collection(query, **values))
    assert collection.status == "ready", collection.error_message
    return collection


def image_file(number: int, slug: str = "rays") -> Path:
    """The file of an image of ``make_dataset``."""
    return dataset_folder(Dataset.objects.get(slug=slug)) / f"deep/{number:03}.png"


def read_archive(collection: Collection) -> dict[str, bytes]:
    """Names below the slug and contents of a ready collection's archive."""
    collection.refresh_from_db()
    with zipfile.ZipFile(archive_file(collection.archive_path)) as archive:
        assert archive.testzip() is None
        prefix = f"{collection.slug}/"
        assert all(name.startswith(prefix) for name in archive.namelist())
        return {name.removeprefix(prefix): archive.read(name) for name in archive.namelist()}


def files_in_archive_root() -> list[str]:
    return sorted(path.name for path in Path(settings.ARCHIVE_ROOT).iterdir())
