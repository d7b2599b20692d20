from typing import Any

from django.core.management.base import BaseCommand

from vocab.services import load_shipped_vocabularies


class Command(BaseCommand):
    help = "Load the shipped vocabularies. A second run updates them and keeps curators' changes."

    def handle(self, *args: Any, **options: Any) -> None:
        for name, report in load_shipped_vocabularies().items():
            self.stdout.write(
                f"{name}: {report.added} added, {report.changed} changed, "
                f"{report.unchanged} unchanged"
            )
            for line in report.skipped:
                self.stdout.write(f"  skipped: {line}")
