"""`manage.py draw_schema`: docs/diagrams/schema.svg, drawn from the models."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from medagg.schema_diagram import NoPlace, draw_schema
from medagg.schema_diagram.reading import read_tables

DIAGRAM = Path(settings.BASE_DIR, "docs", "diagrams", "schema.svg")


class Command(BaseCommand):
    help = "Draw docs/diagrams/schema.svg from the models; needs no database."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Write nothing; exit 1 when the file is stale."
        )
        parser.add_argument("--output", type=Path, default=DIAGRAM, help="Another file.")

    def handle(self, *args: Any, check: bool, output: Path, **options: Any) -> None:
        try:
            drawn = draw_schema(read_tables()).encode()
        except NoPlace as error:
            raise CommandError(str(error)) from error
        if check:
            _require_fresh(output, drawn)
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(drawn)
        self.stdout.write(f"Wrote {output}.")


def _require_fresh(file: Path, drawn: bytes) -> None:
    if not file.exists() or file.read_bytes() != drawn:
        raise CommandError(f"{file} is not what the models say: run manage.py draw_schema.")
