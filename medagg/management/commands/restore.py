"""`manage.py restore`: an empty medagg becomes what a backup holds."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from catalog.imaging.paths import UnsafePath
from catalog.models import Dataset
from catalog.storage.roots import dataset_root
from collections_app.models import Collection, Status
from collections_app.storage import StorageTrouble, archive_store
from collections_app.sweep import fail_missing, find_strays
from medagg.backup.backups import BackupError, check_place, read_contents, restore


class Command(BaseCommand):
    help = (
        "Restore what `manage.py backup` wrote, into an empty database; medagg must not run. All "
        "sums are checked first, and after an error the database is as it was."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", type=Path, metavar="FILE")
        parser.add_argument(
            "--replace", action="store_true", help="delete what the database holds now"
        )
        parser.add_argument(
            "--no-input", action="store_true", help="with --replace, do not ask again"
        )
        parser.add_argument(
            "--without-archives",
            action="store_true",
            help="archives that are missing do not come: their collections have failed, can be "
            "built again, and count for no quota",
        )

    def handle(self, *args: Any, source: Path, **options: Any) -> None:
        try:
            contents = read_contents(source)
            check_place(replace=options["replace"])
            if options["replace"] and not options["no_input"]:
                self._confirm(contents.made_at)
            restore(source)
        except (BackupError, DatabaseError, OSError) as error:
            # Further lines of PostgreSQL's show rows.
            reason = str(error).partition("\n")[0]
            raise CommandError(f"Nothing was restored: {reason}") from error
        self._update()
        rows = sum(contents.rows.values())
        self.stdout.write(
            f"{rows:,} rows of {len(contents.rows)} tables are as on {contents.made_at}."
        )
        self._say_what_is_missing(without_archives=options["without_archives"])

    def _confirm(self, made_at: str) -> None:
        self.stdout.write(f"All that the database holds is replaced by the backup of {made_at}.")
        self.stdout.write("Type “yes” to go on: ", ending="")
        self.stdout.flush()
        try:
            answer = input()
        except EOFError:
            answer = ""
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was restored: not confirmed. (--no-input does not ask.)")

    def _update(self) -> None:
        """Newer migrations are an ordinary update, which can be repeated."""
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except DatabaseError as error:
            reason = str(error).partition("\n")[0]
            raise CommandError(
                f"All is restored, but not brought up to date: {reason}. Run manage.py migrate."
            ) from error

    def _say_what_is_missing(self, *, without_archives: bool = False) -> None:
        """Files that the database names and that are not here."""
        for dataset in Dataset.objects.exclude(local_path=""):
            if _is_gone(dataset):
                where = settings.DATASET_ROOTS[0] / dataset.local_path
                self.stdout.write(f"The files of {dataset.slug} are missing: copy them to {where}")
        ready = Collection.objects.filter(status=Status.READY)
        try:
            missing = archive_store().find_missing(ready.brief())
            strays = find_strays(older_than=0)
            if without_archives:
                # The real site may be well, if this is a trial.
                fail_missing(missing, mails_owners=False)
        except StorageTrouble as error:
            self.stdout.write(f"Whether archives are missing is not known: {error.strerror}.")
            return
        if strays:
            self.stdout.write(
                f"Archives that belong to no collection of the backup: {len(strays)}. medagg "
                "deletes them soon after its start. If another medagg uses them, as in a trial, "
                "do not start it, but restore with a place of its own in MEDAGG_ARCHIVE_ROOT or "
                "ARCHIVE_STORAGE."
            )
        if missing:
            others = (
                " Copy them, or restore with --without-archives if they do not come: until then "
                "they count for the quotas of their owners."
            )
            self.stdout.write(
                f"Archives that are missing: {len(missing)}. The page of each collection offers to "
                f"build it again, with the same bytes.{'' if without_archives else others}"
            )


def _is_gone(dataset: Dataset) -> bool:
    try:
        return not dataset_root(dataset).is_dir()
    except (UnsafePath, OSError):
        return True
