"""`manage.py backup`: all that must not be lost, in one file."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from catalog.wording.formats import file_size
from medagg.backup.backups import BackupError, write_backup


class Command(BaseCommand):
    help = (
        "Write the catalog, accounts, vocabularies and collections, and the secrets of var/, into "
        "one file, also while medagg runs. Not in it: the files of datasets, and archives, which "
        "can be built again with the same bytes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "target",
            type=Path,
            metavar="FILE|FOLDER",
            help="a new file, or a folder for one that is named by the time",
        )

    def handle(self, *args: Any, target: Path, **options: Any) -> None:
        try:
            if target.is_dir():
                target = target / f"medagg-{timezone.now():%Y-%m-%dT%H%M%SZ}.zip"
            contents = write_backup(target)
        except (BackupError, DatabaseError, OSError) as error:
            raise CommandError(f"No backup was written: {' '.join(str(error).split())}") from error
        rows = sum(contents.rows.values())
        size = file_size(target.stat().st_size)
        self.stdout.write(f"{target}: {rows:,} rows of {len(contents.rows)} tables, {size}.")
        self.stdout.write(
            "It holds passwords' hashes and keys: keep it as safe as the server itself. "
            "Back up .env and the folders of datasets beside it."
        )
