"""What the catalog does when a curator changes a vocabulary."""

from typing import Any

from django.dispatch import receiver

from catalog.models import Dataset
from catalog.search.full_text import refresh_search_vectors
from vocab.signals import terms_changed


@receiver(terms_changed)
def make_datasets_findable(**kwargs: Any) -> None:
    """Datasets are found by the names and aliases of their terms."""
    refresh_search_vectors(dataset_ids=Dataset.objects.values_list("pk", flat=True))
