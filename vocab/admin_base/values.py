"""Odd values in requests to the admin, at which Django itself would fail.

What a form or an address gives comes in; what the database stores goes on, and the rest is refused
or left out.
"""

import json
import re
from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import BadRequest, ValidationError
from django.db import models
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest

# Pages, archives and the database go down each level by a call of its own.
MAX_LEVELS = 100
# In a field that has several values, each of which is checked and may be refused by a sentence.
MAX_ITEMS = 100
_KEY = re.compile("[0-9]{1,18}")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class CheckedJSONField(forms.JSONField):
    """Refuses what no JSON of PostgreSQL can hold, such as NaN, and too many levels or digits."""

    def to_python(self, value: Any) -> Any:
        try:
            found = super().to_python(value)
            text = json.dumps(found, ensure_ascii=False, allow_nan=False)
            text.encode()  # not with half a pair of surrogates
        except (ValueError, RecursionError) as error:
            raise ValidationError("This cannot be stored as JSON.") from error
        if _NUL.search(text):
            raise ValidationError("A text has no NUL.")
        if _has_too_many_levels(found):
            raise ValidationError(f"Nest at most {MAX_LEVELS} levels.")
        return found

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was refused is shown as it was typed."""
        try:
            self.to_python(data)
        except ValidationError:
            return InvalidJSONInput(data)
        return super().bound_data(data, initial)


class BoundedArrayField(SimpleArrayField):
    """Refuses too many items before it looks at each of them."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value.count(self.delimiter) >= MAX_ITEMS:
            raise ValidationError(f"Give at most {MAX_ITEMS} values.")
        return super().to_python(value)


class _KeysOnly:
    """A field that completes what is typed, drawn again: what is no key was refused already."""

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        keys = [each for each in value if _KEY.fullmatch(str(each))]
        return super().optgroups(name, keys, attrs)  # type: ignore[misc]


class CheckedAutocompleteSelect(_KeysOnly, AutocompleteSelect):
    pass


class CheckedAutocompleteSelectMultiple(_KeysOnly, AutocompleteSelectMultiple):
    pass


def _has_too_many_levels(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_LEVELS):
        lists = [each.values() if isinstance(each, dict) else each
                 for each in level if isinstance(each, dict | list)]  # fmt: skip
        level = [inner for each in lists for inner in each]
    return any(isinstance(each, dict | list) for each in level)


class CheckedFields(BaseModelAdmin):
    """For admins and their inlines."""

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if isinstance(db_field, models.JSONField):
            kwargs.setdefault("form_class", CheckedJSONField)
        elif isinstance(db_field, ArrayField):
            kwargs.setdefault("form_class", BoundedArrayField)
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, SimpleArrayField):
            # Django fails at a message that names an item with a "%".
            field.base_field.error_messages["invalid_choice"] = "This is none of the choices."
        return field

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = CheckedAutocompleteSelect(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = CheckedAutocompleteSelectMultiple(db_field, self.admin_site)
        return super().formfield_for_manytomany(db_field, request, **kwargs)


def keep_valid(initial: dict[str, Any], fields: dict[str, forms.Field]) -> dict[str, Any]:
    """Of the values for an empty form those that its fields would take."""
    return {name: value for name, value in initial.items()
            if name in fields and _is_valid(fields[name], value)}  # fmt: skip


def _is_valid(field: forms.Field, value: Any) -> bool:
    try:
        field.clean(value)
    except ValidationError:
        return False
    return True


def require_keys(request: HttpRequest, rows: models.QuerySet) -> None:
    """Raises BadRequest if what is chosen for an action cannot be keys of ``rows``."""
    try:
        rows.filter(pk__in=request.POST.getlist(ACTION_CHECKBOX_NAME))
    except (ValueError, ValidationError) as error:
        raise BadRequest("What is chosen is no row.") from error
