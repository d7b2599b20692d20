"""Receivers of the signals of vocab."""

from typing import Any

from django.dispatch import receiver

from catalog.models import Dataset
from catalog.search.full_text import refresh_search_vectors
from vocab.signals import terms_changed


@receiver(terms_changed)
def refresh_all_search_vectors(**kwargs: Any) -> None:
    """The search vectors of datasets contain the names of their terms."""
    refresh_search_vectors(dataset_ids=Dataset.objects.values_list("pk", flat=True))
