from typing import Any

import factory
from factory.django import DjangoModelFactory

from vocab import models


class TermFactory(DjangoModelFactory):
    class Meta:
        abstract = True
        django_get_or_create = ("code",)

    code = factory.Sequence(lambda n: f"term-{n}")
    name = factory.LazyAttribute(lambda term: term.code.replace("-", " ").capitalize())


class ModalityFactory(TermFactory):
    class Meta:
        model = models.Modality


class AreaFactory(TermFactory):
    class Meta:
        model = models.AnatomicalArea


class TaskTypeFactory(TermFactory):
    class Meta:
        model = models.TaskType


class TagFactory(TermFactory):
    class Meta:
        model = models.Tag


class LicenseFactory(TermFactory):
    class Meta:
        model = models.License


class ViewFactory(TermFactory):
    class Meta:
        model = models.ViewPosition


class LabelFactory(TermFactory):
    class Meta:
        model = models.Label


def add_alias(term: models.Term, text: str, **values: Any) -> models.Alias:
    """Give a term another spelling, checked as the admin checks it; of a label in an `area`."""
    alias = term.aliases.model(term=term, text=text, **values)  # type: ignore[attr-defined]
    alias.full_clean()
    alias.save()
    return alias
