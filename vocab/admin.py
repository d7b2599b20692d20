"""The admin of the vocabularies: terms with usage counts and aliases."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum, URLField
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest

from vocab import models
from vocab.admin_base.bounds import BoundedInline
from vocab.admin_base.forms import OpenedForm, OpenedFormAdmin, has_changed
from vocab.services import set_terms_active
from vocab.signals import terms_changed

DATASETS = {"datasets": Count("datasets")}
IMAGES = {"images": Sum("profiles__num_images")}
HTTPS_URLS: Any = {URLField: {"assume_scheme": "https"}}


class AliasFormSet(BaseInlineFormSet):
    def clean(self) -> None:
        """Refuse two new aliases with the same normal form, which the database cannot see yet.

        Of labels, each of another area may have it.
        """
        super().clean()
        seen: set[tuple[str, Any]] = set()
        make_key = self.get_queryset().model.make_key
        for form in self.forms:
            data = getattr(form, "cleaned_data", {})
            key = make_key(data.get("text", ""))
            if not key or data.get("DELETE"):
                continue
            place = (key, data.get("area"))
            if place in seen:
                raise ValidationError(f"“{data['text']}” is given twice.")
            seen.add(place)


class AliasInline(BoundedInline):
    form = OpenedForm
    formset = AliasFormSet
    fields = ("text",)
    extra = 1
    verbose_name_plural = "Aliases: other spellings that mean this term"


def alias_inline(alias_model: type[models.Alias]) -> type[AliasInline]:
    """The inline of one vocabulary's aliases."""
    of_area = {"fields": ("text", "area"), "autocomplete_fields": ("area",)}
    own = of_area if alias_model is models.LabelAlias else {}
    return type(f"{alias_model.__name__}Inline", (AliasInline,), {"model": alias_model, **own})


class TermAdmin(OpenedFormAdmin):
    """``usage`` maps the plural nouns of what is counted for each term to the aggregates."""

    usage: Mapping[str, Any] = DATASETS
    extra_columns: tuple[str, ...] = ()
    list_filter = ["is_active"]
    search_fields = ("code", "name", "aliases__text")
    actions = ("activate", "deactivate")
    list_per_page = 100

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return ["name", "code", "is_active", *self.extra_columns, "used_by"]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        for noun, aggregate in self.usage.items():
            rows = rows.annotate(**{f"n_{noun}": self.count_usage(aggregate)})
        return rows

    def count_usage(self, aggregate: Any) -> Any:
        """A separate subquery for each aggregate, as joins would multiply the counts."""
        same = self.model._default_manager.filter(pk=OuterRef("pk")).order_by()
        return Subquery(same.annotate(n=aggregate).values("n"))

    @admin.display(description="used by")
    def used_by(self, term: Any) -> str:
        counts = ((getattr(term, f"n_{noun}"), noun) for noun in self.usage)
        return ", ".join(f"{count:,} {noun}" for count, noun in counts if count) or "–"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # Codes are part of URLs, archives and stored filters, so they never change.
        return ("code",) if obj else ()

    def save_related(
        self, request: HttpRequest, form: ModelForm, formsets: Any, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        if not change or has_changed(form, formsets):
            self._tell_of_change()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        super().delete_model(request, obj)
        self._tell_of_change()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        super().delete_queryset(request, queryset)
        self._tell_of_change()

    def _tell_of_change(self) -> None:
        # The terms are saved: what follows from them can be done again by `manage.py load_vocab`.
        transaction.on_commit(lambda: terms_changed.send(sender=self.model), robust=True)

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, terms: Any) -> None:
        changed = set_terms_active(terms=terms, is_active=True)
        self.message_user(request, f"{changed} activated.")

    @admin.action(description="Deactivate: hide from search, filters and pages",
                  permissions=["change"])  # fmt: skip
    def deactivate(self, request: HttpRequest, terms: Any) -> None:
        changed = set_terms_active(terms=terms, is_active=False)
        self.message_user(request, f"{changed} deactivated.")


class HierarchicalTermAdmin(TermAdmin):
    """Terms with a broader one; the form refuses circles."""

    extra_columns: tuple[str, ...] = ("broader",)
    list_select_related = ("broader",)
    autocomplete_fields = ("broader",)


@admin.register(models.Modality)
class ModalityAdmin(HierarchicalTermAdmin):
    usage = DATASETS | IMAGES
    extra_columns = ("kind", "broader")
    list_filter = ["is_active", "kind"]
    inlines = (alias_inline(models.ModalityAlias),)


@admin.register(models.AnatomicalArea)
class AnatomicalAreaAdmin(HierarchicalTermAdmin):
    usage = DATASETS | IMAGES
    inlines = (alias_inline(models.AnatomicalAreaAlias),)


@admin.register(models.ViewPosition)
class ViewPositionAdmin(HierarchicalTermAdmin):
    usage = IMAGES
    inlines = (alias_inline(models.ViewPositionAlias),)


@admin.register(models.TaskType)
class TaskTypeAdmin(TermAdmin):
    inlines = (alias_inline(models.TaskTypeAlias),)


@admin.register(models.Tag)
class TagAdmin(TermAdmin):
    inlines = (alias_inline(models.TagAlias),)


@admin.register(models.License)
class LicenseAdmin(TermAdmin):
    usage = DATASETS | IMAGES
    inlines = (alias_inline(models.LicenseAlias),)
    extra_columns = ("allows_commercial_use",)
    formfield_overrides = HTTPS_URLS
    list_filter = ["is_active", "allows_commercial_use"]


# Labels are counted in image profiles, so catalog.admin registers them.
