"""The base class of the import commands: options, progress, rejects.csv and the report."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from catalog.importers.options import MAX_ROWS, MAX_SHARE_REJECTED, ImportLimits, Listeners
from catalog.importers.pipeline import import_source
from catalog.importers.rows import FileNote, ImportReport, Source
from catalog.importers.store import ALWAYS_ALLOWED, ManyRemovals, removes_many
from catalog.importers.tables.description import read_description
from catalog.management.overlap import Overlap, ReadOrder, has_succeeded
from catalog.management.progress import Progress
from catalog.management.refusals import REFUSALS, format_refusal
from catalog.management.rejects import FileProblemsFile, Limit, RejectsFile, parse_limit
from catalog.management.report import (
    SHOWN_WORDS,
    add_report,
    format_counts,
    format_findings,
    format_kinds,
)
from catalog.models import Dataset
from catalog.storage.roots import dataset_root

EXIT_INTERRUPTED = 130


class ImportCommand(BaseCommand):
    """Imports what ``open_sources`` returns, in one transaction for each dataset.

    If a dataset cannot be imported, that is reported, the others are imported, and the exit code
    is 1.
    """

    default_rejects = "rejects.csv"
    # Further exceptions with a message for the user, raised by the sources of the command.
    refusals: tuple[type[Exception], ...] = ()
    files: FileProblemsFile

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="report what would be done, and change nothing",
        )
        parser.add_argument(
            "--max-rejected",
            type=parse_limit,
            default=Limit(),
            metavar="N|N%",
            help="import no dataset with more bad rows than this; a share always allows "
            f"{ALWAYS_ALLOWED} rows (default: {100 * MAX_SHARE_REJECTED:g}%%)",
        )
        parser.add_argument(
            "--max-rows",
            type=int,
            default=MAX_ROWS,
            metavar="N",
            help="read no dataset with more rows than this (default: %(default)s)",
        )
        parser.add_argument(
            "--allow-removal",
            action="store_true",
            help="remove most of a dataset's images, if the source has them no longer, unasked",
        )
        parser.add_argument(
            "--allow-identifying",
            action="store_true",
            help="import DICOM files that carry names, birth dates, comments or other attributes "
            "that may tell who somebody is; pages and archives say so, and such a file needs a "
            "signed-in user",
        )
        parser.add_argument(
            "--rejects",
            type=Path,
            default=Path(self.default_rejects),
            metavar="PATH",
            help="the file that lists bad rows, if there are any (default: %(default)s)",
        )

    def open_sources(self, options: dict[str, Any]) -> Sequence[Source]:
        """The sources to import, in order; raises CommandError."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            try:
                sources = self.open_sources(options)
            except (*REFUSALS, *self.refusals) as error:
                raise CommandError(format_refusal(error)) from error
            self.run_imports(sources, options)
        except KeyboardInterrupt:
            self.stderr.write("Stopped. Datasets that were not finished are unchanged.")
            raise SystemExit(EXIT_INTERRUPTED) from None

    def run_imports(self, sources: Sequence[Source], options: dict[str, Any]) -> ImportReport:
        """Import all sources and report; returns the sum of the reports.

        Raises:
            CommandError: at least one was not imported.
        """
        try:
            rejects = RejectsFile(Path(options["rejects"]))
            files = self.files = FileProblemsFile(rejects.path)
        except OSError as error:
            raise CommandError(str(error)) from error
        totals = [source.num_rows for source in sources]
        total = None if None in totals else sum(filter(None, totals))
        progress = Progress(self.stderr, total=total, unit=" rows")
        run = _Run(self, progress, rejects, options)
        try:
            run.import_all(sources)
            run.import_allowed()
        finally:
            run.progress.close()
            rejects.close()
            files.close()
            if files.count:
                listed = f"{files.count:,} files are listed, with what to do, in {files.path}"
                self.stdout.write(listed)
            if rejects.count:
                what = "bad and contradicting rows" if run.sum.conflicts else "bad rows"
                self.stdout.write(f"{rejects.count:,} {what} are listed in {rejects.path}")
        return run.finish(len(sources))

    def write_file(self, dataset: str, note: FileNote) -> None:
        """Add a file to the list of those that ask for attention."""
        self.files.write(dataset, note)

    def say_report(self, report: ImportReport, *, dry_run: bool) -> None:
        """Print a line of numbers, and further lines on what needs attention."""
        self.stdout.write(f"{report.slug}: {format_counts(report)}{DRY if dry_run else ''}")
        for line in format_findings(report):
            self.stdout.write(f"  {line}")
        if dry_run and removes_many(report.removed, report.before):
            self.stdout.write(
                f"  {report.removed:,} of {report.before:,} images would be removed: the import "
                "will ask, or needs --allow-removal"
            )

    def ask(self, question: str) -> bool:
        """Whether somebody at a terminal says yes."""
        if not (sys.stdin and sys.stdin.isatty() and self.stderr.isatty()):
            return False
        self.stderr.write(f"{question} [y/N] ", style_func=str, ending="")
        self.stderr.flush()
        return sys.stdin.readline().strip().casefold() in ("y", "yes")


DRY = " (dry run: nothing was changed)"


class _Run:
    """One run of an import command."""

    def __init__(
        self,
        command: ImportCommand,
        progress: Progress,
        rejects: RejectsFile,
        options: dict[str, Any],
    ) -> None:
        self.command = command
        self.progress = progress
        self.rejects = rejects
        self.dry_run: bool = options["dry_run"]
        self.traceback: bool = options.get("traceback", False)
        limit = options["max_rejected"]
        rejected: Limit = parse_limit(limit) if isinstance(limit, str) else limit
        self.limits = ImportLimits(
            **rejected._asdict(),
            max_rows=options.get("max_rows", MAX_ROWS),
            allow_removal=options.get("allow_removal", False) or self.dry_run,
            allow_move=options.get("moved", False),
            allow_identifying=options.get("allow_identifying", False),
        )
        self.is_again = False
        self.turns = ReadOrder()
        self.begun = 0
        self.unallowed: list[tuple[Source, ManyRemovals]] = []
        self.failures: list[tuple[str, str]] = []
        self.sum = ImportReport()

    def import_all(self, sources: Sequence[Source]) -> None:
        """Import and report all sources, in order.

        Imports run in threads, where Ctrl-C cannot interrupt them between a commit and its report:
        psycopg2 may also swallow a KeyboardInterrupt that arrives during a query. Within a
        transaction they run here, as a thread has a connection of its own.
        """
        tasks = [partial(self._import, number, source) for number, source in enumerate(sources)]
        if not connection.in_atomic_block:
            self._overlap(sources, tasks)
            return
        for source, task in zip(sources, tasks, strict=True):
            self._report(source, task)

    def import_allowed(self) -> None:
        """Ask about the datasets that would lose most of their images, and import those again."""
        refused, self.unallowed = self.unallowed, []
        allowed: list[Source] = []
        for source, error in refused:
            question = str(error).partition(", so nothing was changed")[0]
            if self.command.ask(f"{question}. Import it all the same?"):
                allowed.append(source)
            else:
                self.failures.append((_slug_of(source), format_refusal(error)))
        if allowed:
            self.is_again = True
            self.limits = replace(self.limits, allow_removal=True)
            self.turns, self.begun = ReadOrder(), 0
            self.import_all(allowed)

    def _overlap(self, sources: Sequence[Source], tasks: Sequence[Callable[[], Any]]) -> None:
        reported = 0
        overlap = Overlap(tasks, self.turns)
        try:
            with overlap:
                for source, future in zip(sources, overlap, strict=True):
                    self._report(source, future.result)
                    reported += 1
        except KeyboardInterrupt:
            under_way = slice(reported, self.begun)
            for source, future in zip(sources[under_way], overlap.futures[under_way], strict=True):
                if has_succeeded(future):
                    self._report(source, future.result)
                else:
                    self._say_unchanged(source)
            raise

    def _say_unchanged(self, source: Source) -> None:
        self.progress.clear()
        self.command.stderr.write(f"{_slug_of(source)}: nothing was changed.")

    def _report(self, source: Source, get_report: Callable[[], ImportReport]) -> None:
        try:
            report = get_report()
        except ManyRemovals as error:
            self.progress.clear()
            self.unallowed.append((source, error))
            return
        except (*REFUSALS, *self.command.refusals) as error:
            self.progress.clear()
            if self.traceback:
                raise
            self.failures.append((_slug_of(source), format_refusal(error)))
            return
        self.progress.clear()
        self.command.say_report(report, dry_run=self.dry_run)
        add_report(self.sum, report)

    def _import(self, number: int, source: Source) -> ImportReport:
        with self.turns.wait_for(number) as pass_on:
            self.begun = number + 1
            self.progress.start(_slug_of(source))
            return import_source(
                source=source,
                dry_run=self.dry_run,
                limits=self.limits,
                listeners=self._listen(_slug_of(source), pass_on),
            )

    def _listen(self, slug: str, pass_on: Callable[[], None]) -> Listeners:
        listeners = Listeners(
            on_rows=self.progress.show,
            on_read=partial(self._pass_on, pass_on),
            check_stopped=self.turns.check,
        )
        if self.is_again:  # bad rows and files are in their lists already
            return listeners
        return replace(
            listeners,
            on_reject=partial(self.rejects.write, slug),
            on_file=partial(self.command.write_file, slug),
        )

    def _pass_on(self, pass_on: Callable[[], None]) -> None:
        self.progress.note("storing")
        pass_on()

    def finish(self, sources: int) -> ImportReport:
        out, seconds = self.command.stdout, self.progress.seconds
        if sources > 1:
            dry = DRY if self.dry_run else ""
            out.write(f"{sources - len(self.failures):,} datasets: {format_counts(self.sum)}{dry}")
            for line in format_kinds(self.sum):
                out.write(f"  {line}")
        rows = self.sum.added + self.sum.changed + self.sum.unchanged + self.sum.rejected
        rows += self.sum.series_files - self.sum.series
        speed = rows / seconds if seconds else 0
        taken = Progress.format_interval(seconds)
        out.write(f"{rows:,} rows in {taken}, {speed:,.0f} rows/s")
        if self.failures and sources == 1:
            raise CommandError(self.failures[0][1])
        for slug, reason in self.failures:
            self.command.stderr.write(f"{slug} was not imported: {reason}")
        if self.failures:
            names = ", ".join(slug for slug, _ in self.failures[:SHOWN_WORDS])
            raise CommandError(
                f"{len(self.failures)} of {sources} datasets were not imported: {names}"
            )
        return self.sum


def _slug_of(source: Source) -> str:
    return str(source.entry.get("slug", ""))


def find_known_folder(description: Path) -> Path | None:
    """The folder in the catalog of the dataset that a dataset.toml describes.

    None if there is none, or if the description itself names a folder. Without it, a second import
    would remove the files of all images.

    Raises:
        SourceError: the description cannot be read.
    """
    described = read_description(description)
    if described.files.folder is not None:
        return None
    dataset = Dataset.objects.filter(slug=described.entry["slug"]).exclude(local_path="").first()
    if dataset is None:
        return None
    folder = dataset_root(dataset)
    return folder if folder.is_dir() else None
