from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog.formats import file_size
from catalog.management.progress import format_seconds
from collections_app.management.progress import BytesProgress
from collections_app.verification import Findings, escape, verify_file

EXIT_INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Prove an archive of medagg, also one from another server: that it is whole, that every "
        "file is what SHA256SUMS and metadata.csv say, and that there is no other. Exits with 1 "
        "and says what is wrong, if anything is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="the ZIP as it was downloaded")
        parser.add_argument(
            "--catalog",
            action="store_true",
            help="also prove that each image is in this catalog, with the same file",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["file"])
        try:
            progress = BytesProgress(self.stderr, "reading", path.stat().st_size)
            try:
                findings = verify_file(
                    path, with_catalog=options["catalog"], on_bytes=progress.update
                )
            finally:
                progress.clear()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CommandError(f"{escape(str(path))} cannot be read: {reason}.") from error
        except KeyboardInterrupt:
            self.stderr.write("Stopped. Nothing was proven.")
            raise SystemExit(EXIT_INTERRUPTED) from None
        self._report(path, findings, progress.seconds)

    def _report(self, path: Path, findings: Findings, seconds: float) -> None:
        name = escape(str(path))
        if findings.num_problems == 1:
            raise CommandError(f"{name} is not proven: {findings.problems[0]}.")
        if findings.num_problems:
            for problem in findings.problems:
                self.stderr.write(problem)
            if more := findings.num_problems - len(findings.problems):
                self.stderr.write(f"and {more:,} more")
            raise CommandError(f"{name} is not proven: {findings.num_problems:,} problems.")
        for line in describe(findings):
            self.stdout.write(line)
        self.stdout.write(f"{name} is proven, in {format_seconds(seconds)}.")


def describe(findings: Findings) -> Iterator[str]:
    """What was proven, a line each."""
    yield (
        f"{findings.num_entries:,} entries, {findings.num_images:,} of them images, "
        f"{file_size(findings.size)} ({findings.size:,} bytes): each is what the archive's own "
        "lists say, and nothing is missing or left over."
    )
    if findings.num_in_catalog is not None:
        yield f"{findings.num_in_catalog:,} images have the same files in this catalog now."
    if findings.num_collections is not None:
        yield f"Collections of this server with the same fingerprint: {findings.num_collections:,}."
    yield f"SHA-256 of the file: {findings.sha256}"
    yield f"Fingerprint: {findings.fingerprint}"
