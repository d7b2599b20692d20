"""Admin forms that write what their editor changed, and nothing that somebody else wrote meanwhile.

A posted change form comes in, with the values that it was opened with in hidden fields; what is
saved goes out. An edit of a field that was changed meanwhile is refused.
"""

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.db import models
from django.http import HttpRequest

from vocab.admin_base.bounds import BoundedAdmin


class OpenedForm(forms.ModelForm):
    """Knows the values that it was opened with. Unchanged fields take what is stored by now."""

    def __init__(self, data: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(data, *args, **kwargs)
        # Not what a formset adds: the key, and whether to delete it.
        self._own = frozenset(self.fields)
        names = [self.add_initial_prefix(name) for name in self.fields]
        # A program may post without them; then what is stored counts as what it has seen.
        has_opened = not self.is_bound or any(name in self.data for name in names)
        for field in self.fields.values():
            field.show_hidden_initial = has_opened

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.instance.pk is None:
            return cleaned
        for name in self._own.intersection(cleaned):
            if name not in self.changed_data:
                cleaned[name] = self._stored(name)
            elif self._was_changed_meanwhile(name):
                self.add_error(
                    name,
                    f"This was changed to “{_say(self._stored(name))}” while you had the form "
                    "open. Open it anew to change it again.",
                )
        return cleaned

    def changed_columns(self) -> list[str]:
        """The fields of the model's own table that the editor changed."""
        columns = {field.name for field in self.instance._meta.concrete_fields}
        return [name for name in self.changed_data if name in columns]

    def _was_changed_meanwhile(self, name: str) -> bool:
        field = self.fields[name]
        if not field.show_hidden_initial:
            return False
        hidden, html_name = field.hidden_widget(), self.add_initial_prefix(name)
        opened = field.to_python(hidden.value_from_datadict(self.data, self.files, html_name))
        stored = self._stored(name)
        is_other = field.has_changed(opened, field.prepare_value(stored))
        return is_other and field.has_changed(stored, field.prepare_value(self.cleaned_data[name]))

    def _stored(self, name: str) -> Any:
        value = getattr(self.instance, name)
        return value.all() if isinstance(value, models.Manager) else value


def _say(value: Any) -> str:
    """The value as an editor would write it, not all of it if it is long."""
    if isinstance(value, models.QuerySet):
        value = ", ".join(map(str, value))
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    text = "" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:80]} …"


class OpenedFormAdmin(BoundedAdmin):
    """Reads the object anew under its lock, and writes only what the editor changed."""

    form = OpenedForm

    def lock(self, obj: Any) -> None:
        """Waits for other writers of the object, until the transaction ends."""
        type(obj)._base_manager.select_for_update().filter(pk=obj.pk).first()

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        obj = super().get_object(request, object_id, from_field)
        if obj is None or request.method != "POST":
            return obj
        self.lock(obj)
        return super().get_object(request, object_id, from_field)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
        elif columns := form.changed_columns():
            times = [field.name for field in obj._meta.concrete_fields
                     if getattr(field, "auto_now", False)]  # fmt: skip
            obj.save(update_fields=[*columns, *times])


def has_changed(form: Any, formsets: Any) -> bool:
    """Whether a change form or one of its inlines changes anything."""
    return form.has_changed() or any(formset.has_changed() for formset in formsets)
