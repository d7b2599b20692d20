from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from vocab.lookup import VOCABULARIES
from vocab.services import import_terms, own_fields
from vocab.term_files import BadTermFile, read_terms

SHOWN_PROBLEMS = 20


class Command(BaseCommand):
    help = (
        "Import terms of your own into a vocabulary, from TOML ([[term]] tables as in vocab/data) "
        "or CSV (code,name,description,aliases; aliases separated by |). Areas and modalities may "
        "have the code of a broader term in “broader”, labels have aliases that hold only in "
        "images of the lung in “aliases_in.lung”. Terms and aliases are added, and fields in the "
        "file are written; nothing is removed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, metavar="PATH", help="a .toml or .csv file")
        parser.add_argument("--vocabulary", required=True, choices=list(VOCABULARIES))
        parser.add_argument("--dry-run", action="store_true", help="report, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        name, path, dry_run = options["vocabulary"], Path(options["path"]), options["dry_run"]
        try:
            terms = read_terms(path, extra=own_fields(name))
            report = import_terms(vocabulary=name, terms=terms, dry_run=dry_run)
        except BadTermFile as error:
            raise CommandError(_describe(path, error)) from error
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}") from error
        self.stdout.write(
            f"{name}: {report.added} added, {report.changed} changed, {report.unchanged} unchanged"
            + (" (dry run: nothing was changed)" if dry_run else "")
        )
        if report.skipped:
            self.stdout.write(f"{len(report.skipped)} aliases skipped:")
        for line in report.skipped:
            self.stdout.write(f"  {line}")


def _describe(path: Path, error: BadTermFile) -> str:
    shown = [f"  {problem}" for problem in error.problems[:SHOWN_PROBLEMS]]
    if len(error.problems) > SHOWN_PROBLEMS:
        shown.append(f"  and {len(error.problems) - SHOWN_PROBLEMS} more")
    return "\n".join([f"{path}: nothing was changed.", *shown])
