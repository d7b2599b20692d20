"""The shipped vocabularies for tests that only use them."""

from functools import cache
from typing import Any

from django.db import transaction
from django.db.models import Model

from vocab.lookup import VOCABULARIES
from vocab.services import load_shipped_vocabularies


def save_shipped_vocabularies() -> None:
    """As `load_vocab` leaves an empty database, for a tenth of its cost after the first time."""
    for rows in _shipped_rows():
        type(rows[0])._default_manager.bulk_create(rows)


@cache
def _shipped_rows() -> list[list[Model]]:
    """Terms and aliases with their numbers, which the sequences give to nothing else."""
    with transaction.atomic():
        load_shipped_vocabularies()
        rows = [list(model._default_manager.all()) for model in _models()]
        transaction.set_rollback(True)
    return rows


def _models() -> list[type[Model]]:
    terms: list[Any] = list(VOCABULARIES.values())
    aliases = [model._meta.get_field("aliases").related_model for model in terms]
    return [*terms, *aliases]
