"""The search for datasets finds what was meant, by the searches that the benchmark asks."""

import pytest
from django.test import Client

from benchmarks.relevance import RANK_GOAL, SHARE_GOAL, rank_searches, read_searches
from catalog.importers.shipped import load_shipped_datasets
from vocab.tests.shipped import save_shipped_vocabularies

pytestmark = [pytest.mark.django_db, pytest.mark.long]


def test_the_goals_of_relevance_are_met(client: Client) -> None:
    save_shipped_vocabularies()
    load_shipped_datasets()

    figures = rank_searches(read_searches(), lambda path: client.get(path).content.decode())

    assert figures["share"] >= SHARE_GOAL, figures
    assert figures["reciprocal_rank"] >= RANK_GOAL, figures
