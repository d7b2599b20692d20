from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog.importers.dataset_entries import SHIPPED_DATASETS, read_datasets
from catalog.importers.shipped import OPEN_DATASETS
from catalog.importers.survey.entries import make_entry
from catalog.importers.survey.entry_file import read_entry_file, write_entry_file
from catalog.importers.survey.merging import Group, group_rows
from catalog.importers.survey.rows import BadSurvey, read_survey
from vocab.lookup import find_terms


class Command(BaseCommand):
    help = (
        "Take a survey of open datasets (tab-separated, as docs/open-datasets.md describes) into "
        "catalog/data/open-datasets.toml: say which rows are which dataset and why, and add what "
        "is new. Entries that people have looked at stay as they are."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("survey", type=Path)
        parser.add_argument("--write", action="store_true", help="write the file; else only report")
        parser.add_argument(
            "--file", type=Path, default=OPEN_DATASETS, help="the entries (default: the shipped)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rows = read_survey(options["survey"])
        except (OSError, BadSurvey) as error:
            raise CommandError(f"{options['survey']}: {error}") from error
        try:
            content = read_entry_file(options["file"])
            of_file = {entry["slug"]: entry for entry in content.entries}
        except KeyError as error:
            raise CommandError(f"{options['file']}: there is no {error} in it.") from error
        except (OSError, ValueError, RecursionError) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        written = [e for e in read_datasets(SHIPPED_DATASETS) if e["slug"] not in of_file]
        groups = group_rows(rows, entries=[*content.entries, *written], omissions=content.omissions)
        for group in groups:
            if group.is_known:
                continue
            if group.slug in of_file:
                entry = of_file[group.slug]
                entry["rows"] = sorted({*entry.get("rows", ()), *group.names}, key=str.casefold)
                notes: list[str] = []
            else:
                entry, notes = make_entry(group, find_terms)
                if not group.is_new:  # described in the other file, which has all but the facts
                    entry.pop("title")
                content.entries.append(entry)
            self._say(group, notes)
        known = sum(len(group.rows) for group in groups if group.is_known)
        new = sum(group.is_new for group in groups)
        self.stdout.write(
            f"{len(rows):,} rows: {known:,} known, {new:,} new datasets, "
            f"{len(rows) - sum(len(g.rows) for g in groups):,} left out"
        )
        if options["write"]:
            write_entry_file(options["file"], content)
            self.stdout.write(f"written: {options['file']}. Look through what is new in it.")

    def _say(self, group: Group, notes: list[str]) -> None:
        self.stdout.write(f"{group.slug}:")
        for name, reason in group.reasons.items():
            self.stdout.write(f"    “{name}”: {reason}")
        for note in dict.fromkeys(notes):
            self.stdout.write(f"    not taken: {note}")
