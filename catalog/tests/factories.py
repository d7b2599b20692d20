from collections.abc import Sequence
from pathlib import Path
from typing import Any

import factory
from django.conf import settings
from factory.django import DjangoModelFactory

from catalog.imaging.paths import read_facts
from catalog.models import Dataset, Image, ImageLabel
from catalog.profiles.building import rebuild_profiles
from catalog.search.full_text import refresh_search_vectors
from vocab.tests.factories import LabelFactory


class DatasetFactory(DjangoModelFactory):
    class Meta:
        model = Dataset
        skip_postgeneration_save = True

    slug = factory.Sequence(lambda n: f"dataset-{n}")
    title = factory.LazyAttribute(lambda dataset: dataset.slug.replace("-", " ").capitalize())

    @factory.post_generation
    def terms(self, create: bool, extracted: Any, **kwargs: Any) -> None:
        """``terms__modalities=[…]`` and the like."""
        for field, terms in kwargs.items():
            getattr(self, field).set(terms)
        refresh_search_vectors(dataset_ids=[self.pk])


class ImageFactory(DjangoModelFactory):
    """An image that lies elsewhere; ``add_file`` gives one a real file."""

    class Meta:
        model = Image
        skip_postgeneration_save = True

    dataset = factory.SubFactory(DatasetFactory)
    source_id = factory.Sequence(lambda n: f"image-{n:05}")

    @factory.post_generation
    def labels(self, create: bool, codes: Sequence[str] | None, **kwargs: Any) -> None:
        """``labels=["nodule"]``: positive labels by code."""
        for code in codes or ():
            ImageLabel.objects.create(image=self, label=LabelFactory(code=code))


def dataset_folder(dataset: Dataset) -> Path:
    """The folder of the dataset's local copy, made if need be."""
    if not dataset.local_path:
        dataset.local_path = dataset.slug
        dataset.save(update_fields=["local_path"])
    folder = Path(settings.DATASET_ROOTS[0]) / dataset.local_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def add_file(image: Image, content: bytes, name: str = "") -> Path:
    """Write a real file for an image and let the catalog know it, as an import does."""
    name = name or f"{image.source_id}.bin"
    path = dataset_folder(image.dataset) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with path.open("rb") as file:
        facts = read_facts(file)
    image.file_path = name
    image.size_bytes = facts.size_bytes
    image.sha256, image.crc32, image.mtime_ns = facts.sha256, facts.crc32, facts.mtime_ns
    image.save()
    return path


def make_searchable() -> None:
    """What an import does last: profiles of all datasets."""
    rebuild_profiles(dataset_ids=Dataset.objects.values_list("pk", flat=True))
