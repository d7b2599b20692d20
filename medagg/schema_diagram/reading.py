"""From Django's models to plain tables; asks the models, never a database."""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection, models

from medagg.schema_diagram.tables import Field, Kind, Table

APPS = ("vocab", "catalog", "collections_app")
# Of Django's own user model only what a collection's owner is known by.
USER_FIELDS = ("id", "username")
SHORT_TYPES = {"timestamp with time zone": "timestamptz", "double precision": "double"}


def read_models() -> list[type[models.Model]]:
    """The concrete models of our apps, in the order of the apps and of their files."""
    return [model for app in APPS for model in apps.get_app_config(app).get_models()]


def read_tables() -> list[Table]:
    """All tables of the diagram: ours, and the user with the two fields that matter here."""
    user = get_user_model()
    ours = read_models()
    drawn = {user, *ours}
    links = _find_links(ours)
    return [
        _read_table(user, USER_FIELDS, drawn, links),
        *(_read_table(model, _field_names(model), drawn, links) for model in ours),
    ]


def _field_names(model: type[models.Model]) -> list[str]:
    options = model._meta
    return [field.name for field in (*options.concrete_fields, *options.many_to_many)]


def _find_links(drawn: Iterable[type[models.Model]]) -> dict[str, str]:
    """For each linking table of ours the relation that it makes: ``"Image M–N Label"``."""
    return {
        field.through: f"{model.__name__} M–N {field.target}"
        for model in drawn
        for field in (_read_many(each) for each in model._meta.many_to_many)
        if field.through
    }


def _read_table(
    model: type[models.Model],
    names: Iterable[str],
    drawn: set[type[models.Model]],
    links: dict[str, str],
) -> Table:
    uniques = _find_uniques(model)
    fields: list[Field] = []
    for name in names:
        field: Any = model._meta.get_field(name)
        fields.append(
            _read_many(field)
            if field.many_to_many
            else _read_column(field, tuple(uniques.get(name, ())), drawn)
        )
    name = model.__name__
    return Table(name, model._meta.app_label, tuple(fields), links.get(name, ""))


def _find_uniques(model: type[models.Model]) -> dict[str, list[str]]:
    """The marks of each field by name; a primary key needs none."""
    singles = [
        [field.name]
        for field in model._meta.concrete_fields
        if field.unique and not field.primary_key
    ]
    constraints = [list(constraint.fields) for constraint in model._meta.total_unique_constraints]
    marks: dict[str, list[str]] = {}
    for (name,) in (*singles, *(names for names in constraints if len(names) == 1)):
        marks[name] = ["U"]
    combinations = (names for names in constraints if len(names) > 1)
    for number, names in enumerate(combinations, start=1):
        for name in names:
            marks.setdefault(name, []).append(f"U{number}")
    return marks


def _read_column(field: Any, uniques: tuple[str, ...], drawn: set[type[models.Model]]) -> Field:
    kind = Kind.PRIMARY if field.primary_key else Kind.FOREIGN if field.is_relation else Kind.PLAIN
    target = field.related_model if field.related_model in drawn else None
    type_ = field.db_type(connection)
    return Field(
        name=field.name,
        type=SHORT_TYPES.get(type_, type_),
        kind=kind,
        is_nullable=field.null,
        uniques=uniques,
        target=target.__name__ if target else "",
    )


def _read_many(field: Any) -> Field:
    through = field.remote_field.through
    return Field(
        name=field.name,
        type="",
        kind=Kind.MANY,
        target=field.related_model.__name__,
        through="" if through._meta.auto_created else through.__name__,
    )
