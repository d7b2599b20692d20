"""`manage.py draw_schema`: the models as a Mermaid diagram, for docs/db-schema.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, models

APPS = ("vocab", "catalog", "collections_app", "medagg")
# Of Django's own user model only what a collection's owner is known by.
USER_FIELDS = ("id", "username")
SHORT_TYPES = {"timestamp with time zone": "timestamptz", "double precision": "double"}
BEGIN, END = "<!-- begin of draw_schema -->\n", "<!-- end of draw_schema -->\n"


def list_models() -> list[type[models.Model]]:
    """The models of our apps, in the order of the apps and of their files."""
    return [model for app in APPS for model in apps.get_app_config(app).get_models()]


def list_columns(model: type[models.Model]) -> list[Any]:
    columns = model._meta.concrete_fields
    if model is get_user_model():
        return [field for field in columns if field.name in USER_FIELDS]
    return list(columns)


def short_type(field: Any) -> str:
    """PostgreSQL's type of a column."""
    type_ = field.db_type(connection)
    return SHORT_TYPES.get(type_, type_)


def draw_schema() -> str:
    """All models as a Mermaid `erDiagram`; asks the models, not the database."""
    entities = [get_user_model(), *list_models()]
    lines = [line for model in entities for line in _entity(model)]
    lines += [line for model in entities for line in _relations(model, entities)]
    return "\n".join(["erDiagram", *(f"    {line}" for line in lines), ""])


def _entity(model: type[models.Model]) -> Iterator[str]:
    alone = [each.fields[0] for each in model._meta.total_unique_constraints if not each.fields[1:]]
    yield f"{model.__name__} {{"
    for field in list_columns(model):
        is_unique = not field.primary_key and (field.unique or field.name in alone)
        marks = {"PK": field.primary_key, "FK": field.is_relation, "UK": is_unique}
        keys = ", ".join(mark for mark, is_set in marks.items() if is_set)
        null = '"NULL"' if field.null else ""
        words = ("   ", short_type(field), field.column, keys, null)
        yield " ".join(word for word in words if word)
    yield "}"


def _relations(model: type[models.Model], entities: list[type[models.Model]]) -> Iterator[str]:
    """`}o` is zero or more, `||` exactly one, `o|` at most one."""
    field: Any
    for field in list_columns(model):
        if field.related_model in entities:
            many, one = "|o" if field.unique else "}o", "o|" if field.null else "||"
            yield f"{model.__name__} {many}--{one} {field.related_model.__name__} : {field.name}"
    for field in model._meta.many_to_many:
        # A linking model of ours is an entity, whose foreign keys show the relation.
        if field.related_model in entities and field.remote_field.through._meta.auto_created:
            yield f"{model.__name__} }}o--o{{ {field.related_model.__name__} : {field.name}"


class Command(BaseCommand):
    help = "Write docs/diagrams/schema.mmd and the diagram in docs/db-schema.md from the models."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Write nothing; exit 1 when a file is stale."
        )

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        docs = Path(settings.BASE_DIR, "docs")
        page = docs / "db-schema.md"
        diagram = draw_schema()
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        block = f"{BEGIN}```mermaid\n{diagram}```\n{END}"
        wanted = {
            docs / "diagrams" / "schema.mmd": diagram,
            page: before + block + rest.partition(END)[2],
        }
        for file, text in wanted.items():
            if file.exists() and file.read_text(encoding="utf-8") == text:
                continue
            if check:
                raise CommandError(f"{file} is not what the models say: run manage.py draw_schema.")
            file.write_text(text, encoding="utf-8")
            self.stdout.write(f"Wrote {file}.")
