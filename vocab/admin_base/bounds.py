"""What may be asked of the admin: so many words, rows and forms, and filters that a list offers.

Every admin of the project is bounded, also those of other packages.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import FieldDoesNotExist
from django.db import DataError, ProgrammingError, transaction
from django.db.models import QuerySet
from django.forms.models import _get_foreign_key
from django.http import HttpRequest, QueryDict
from django.utils.text import smart_split

from vocab.admin_base.deletions import describe_deletion
from vocab.admin_base.values import CheckedFields, keep_valid, require_keys

# Each word is looked for in all columns of all rows.
MAX_SEARCH_WORDS = 20
MAX_VALUES = 30
# What is chosen for an action is loaded.
MAX_CHOSEN = 1_000
# Each form of an inline takes milliseconds to check and to draw.
MAX_NEW_ROWS = 100
# Without patterns, and without columns of other tables.
COMPARISONS = ("exact", "in", "isnull", "gt", "gte", "lt", "lte",
               "id", "id__exact", "pk", "pk__exact")  # fmt: skip
# Computed for each row, so only for the column by whose dates a list is browsed.
DATE_PARTS = ("year", "month", "day")

# A year is also compared with the one behind it.
_YEAR = re.compile(r"(?!9999)[1-9][0-9]{0,3}")


class BoundedAdmin(CheckedFields, admin.ModelAdmin):
    """Lists are filtered by columns of their own table, and by what their filters offer."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        """Too many words find nothing; the fields that complete what is typed ask here, too."""
        if "\0" in search_term:  # which no text in the database has
            return queryset.none(), False
        words = list(smart_split(search_term))
        if len(words) <= MAX_SEARCH_WORDS:
            found = self.find_words(queryset, [word.strip("\"'") for word in words])
            if found is not None:
                return found, False
            return super().get_search_results(request, queryset, search_term)
        said = f"Nothing was searched for: write at most {MAX_SEARCH_WORDS} words."
        self.message_user(request, said, messages.WARNING)
        return queryset.none(), False

    def find_words(self, queryset: QuerySet, words: Sequence[str]) -> QuerySet | None:
        """Instead of Django's search, whose "or" between columns of two tables no index serves."""
        return None

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return (
            _count_values(request.GET) <= MAX_VALUES
            and len(request.GET.getlist(lookup)) == 1
            and lookup in self._offered_lookups(request)
            and _can_be_compared(lookup, str(value))
            and super().lookup_allowed(lookup, value, request)
        )

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Its queries show whether the database can compare what the address gives.

        Raises:
            DisallowedModelAdminLookup: it cannot.
        """
        try:
            with transaction.atomic():  # which an error of the database would end
                return super().get_changelist_instance(request)
        except (DataError, ProgrammingError, ValueError, OverflowError) as error:
            if not request.GET:
                raise
            raise DisallowedModelAdminLookup("A filter's value cannot be compared") from error

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Of columns only: Django does not expect others in an address."""
        try:
            is_column = self.opts.get_field(to_field).concrete
        except FieldDoesNotExist:
            return False
        return is_column and super().to_field_allowed(request, to_field)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """An empty name of a field is none."""
        return super().get_object(request, object_id, from_field or None)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        fields: Any = flatten_fieldsets(self.get_fieldsets(request))
        form = self.get_form(request, fields=fields)
        return keep_valid(super().get_changeform_initial_data(request), form().fields)

    def response_action(self, request: HttpRequest, queryset: QuerySet, *args: Any) -> Any:
        require_keys(request, queryset)
        return super().response_action(request, queryset, *args)

    def get_view_on_site_url(self, obj: Any = None) -> str | None:
        """The page itself: Django's detour tells all staff the address of whatever they number."""
        return obj.get_absolute_url() if hasattr(obj, "get_absolute_url") else None

    def get_actions(self, request: HttpRequest) -> Any:
        actions: Any = super().get_actions(request)
        return {name: (_bounded(act), name, said) for act, name, said in actions.values()}

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Django's own would load whatever points at them."""
        return describe_deletion(self, objs, request)

    def _offered_lookups(self, request: HttpRequest) -> set[str]:
        names = set(self._filterable_names(request))
        lookups = {f"{name}__{comparison}" for name in names for comparison in COMPARISONS}
        dates = (f"{self.date_hierarchy}__{part}" for part in DATE_PARTS if self.date_hierarchy)
        return names.union(lookups, dates)

    def _filterable_names(self, request: HttpRequest) -> Iterator[str]:
        yield "pk"
        for field in self.opts.concrete_fields:
            yield from {field.name, field.attname}
        for given in self.get_list_filter(request):
            each = given[0] if isinstance(given, list | tuple) else given
            yield each if isinstance(each, str) else getattr(each, "parameter_name", "")


class BoundedInline(CheckedFields, admin.TabularInline):
    """Has so many forms more than there are rows, whatever number a request says."""

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        most = self._count_rows(request, obj) + MAX_NEW_ROWS
        shown = most if self.max_num is None else self.max_num
        return super().get_formset(
            request, obj, **{"max_num": shown, "absolute_max": most, **kwargs}
        )

    def _count_rows(self, request: HttpRequest, obj: Any) -> int:
        if obj is None:
            return 0
        key = _get_foreign_key(self.parent_model, self.model, fk_name=self.fk_name)
        return self.get_queryset(request).filter(**{key.name: obj}).count()


def _count_values(query: QueryDict) -> int:
    """How many an address gives; one parameter may give many, with commas between them."""
    return sum(
        1 + (value.count(",") if name.endswith("__in") else 0)
        for name, values in query.lists()
        for value in values
    )


def _bounded(act: Callable[..., Any]) -> Callable[..., Any]:
    """The action, for so many rows: "select all" would choose all of a table."""

    @wraps(act)
    def act_on_few(model_admin: admin.ModelAdmin, request: HttpRequest, rows: QuerySet) -> Any:
        if rows.order_by().values("pk")[: MAX_CHOSEN + 1].count() <= MAX_CHOSEN:
            return act(model_admin, request, rows)
        said = f"Nothing was changed: choose at most {MAX_CHOSEN:,} at a time."
        model_admin.message_user(request, said, messages.ERROR)
        return None

    return act_on_few


def _can_be_compared(lookup: str, value: str) -> bool:
    """Whether the database takes it: Django finds out only while it asks."""
    is_year = lookup.endswith("__year")
    return "\0" not in value and (not is_year or bool(_YEAR.fullmatch(value)))
