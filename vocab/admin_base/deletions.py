"""What a page says before it deletes: counts and a few names, as millions of rows may point at one.

Objects of an admin come in; what Django's templates of such pages show goes out. The database
counts what would be deleted with them, and a few rows are read of what protects them.
"""

from collections.abc import Collection, Iterator
from typing import Any

from django.contrib import admin
from django.db.models import CASCADE, PROTECT, RESTRICT, Model, QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst

NUM_NAMED = 10


def describe_deletion(
    model_admin: admin.ModelAdmin, objs: Collection[Model], request: HttpRequest
) -> tuple[list[str], dict[str, int], set[str], list[str]]:
    """The names of ``objs``, counts by kind, kinds that may not be deleted, and what protects."""
    opts = model_admin.opts
    counts = {str(opts.verbose_name_plural): len(objs)}
    refused = {str(opts.verbose_name) for obj in objs
               if not model_admin.has_delete_permission(request, obj)}  # fmt: skip
    protecting: list[str] = []
    chosen = model_admin.model._base_manager.filter(pk__in=[obj.pk for obj in objs])
    for on_delete, rows in _find_dependents(chosen):
        if on_delete in (PROTECT, RESTRICT):
            protecting += _name_some(rows)
        elif number := rows.count():
            others = rows.model._meta
            plural = str(others.verbose_name_plural)
            counts[plural] = counts.get(plural, 0) + number
            if not _may_delete(model_admin.admin_site, rows.model, request):
                refused.add(str(others.verbose_name))
    return [str(obj) for obj in objs], counts, refused, protecting


def _find_dependents(rows: QuerySet) -> Iterator[tuple[Any, QuerySet]]:
    """What is deleted with the rows or protects them, at any depth."""
    for relation in rows.model._meta.get_fields(include_hidden=True):
        on_delete = getattr(relation, "on_delete", None)
        if not relation.auto_created or on_delete not in (CASCADE, PROTECT, RESTRICT):
            continue
        name = f"{relation.field.name}__in"
        found = relation.related_model._base_manager.filter(**{name: rows})
        yield on_delete, found
        if on_delete is CASCADE:
            yield from _find_dependents(found)


def _name_some(rows: QuerySet) -> list[str]:
    some = list(rows.order_by()[: NUM_NAMED + 1])
    kind = capfirst(rows.model._meta.verbose_name)
    names = [f"{kind}: {row}" for row in some[:NUM_NAMED]]
    more = f"And more {rows.model._meta.verbose_name_plural}"
    return [*names, more] if len(some) > NUM_NAMED else names


def _may_delete(site: admin.AdminSite, model: type[Model], request: HttpRequest) -> bool:
    """What has no admin of its own is deleted with what it belongs to."""
    return not site.is_registered(model) or site.get_model_admin(model).has_delete_permission(
        request
    )
