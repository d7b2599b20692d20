import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from catalog.deidentification import make_pseudonyms
from catalog.importers.dataset_entries import SHIPPED_DATASETS, read_datasets
from catalog.importers.folders.bids_dataset import read_dataset_description
from catalog.importers.folders.entry import make_entry
from catalog.importers.folders.source import FolderSource
from catalog.importers.folders.survey import IMAGE_KINDS, UnknownFolder, open_folder
from catalog.importers.pipeline import MISSING
from catalog.importers.rows import FileNote, ImportReport, Source, SourceError
from catalog.importers.tables.columns import describe_excluded
from catalog.importers.tables.source import SHIPPED_TABLES, TableSource, open_dataset_toml
from catalog.management.file_findings import name_examples
from catalog.management.importing import ImportCommand, find_known_folder
from catalog.management.refusals import format_refusal
from catalog.management.rejects import name_file_problems
from catalog.management.report import SHOWN_WORDS, format_columns, format_next_steps
from catalog.management.unmatched import find_similar, format_joins, list_unmatched

DESCRIPTION = "dataset.toml"
OF_FOLDERS = ("slug", "title", "area", "modality", "license", "kind", "per")
OF_TABLES = ("tables", "files")
ONLY_OF_TABLES = (*OF_TABLES, "moved")


class Command(ImportCommand):
    help = (
        "Import a dataset: from a dataset.toml, which says how to read a table, or from a folder "
        "of pictures in class folders, of DICOM files or of NIfTI files. A second import writes "
        "only the differences."
    )
    refusals = (SourceError,)
    source: Source | None = None
    notes: Sequence[str] = ()  # on what describes the folder

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(rejects=None)
        parser.add_argument(
            "path",
            nargs="?",
            metavar="PATH",
            help="a dataset.toml, a folder, or the name of a shipped description (see --list)",
        )
        parser.add_argument("--list", action="store_true", help="name the shipped descriptions")
        tables = parser.add_argument_group("with a dataset.toml")
        tables.add_argument("--tables", type=Path, metavar="DIR", help="where its tables are")
        tables.add_argument("--files", type=Path, metavar="DIR", help="where its images are")
        tables.add_argument(
            "--moved",
            action="store_true",
            help="this description takes the place of another one that has the same slug",
        )
        folders = parser.add_argument_group("with a folder")
        folders.add_argument("--slug", default="", help="default: from the folder's name")
        folders.add_argument("--title", default="", help="default: the folder's name, at first")
        folders.add_argument("--area", default="", help="anatomical area, by code or name")
        folders.add_argument(
            "--modality",
            action="append",
            default=[],
            help="by code or name; may be repeated. A single one is also used for images whose "
            "file does not state theirs",
        )
        folders.add_argument("--license", default="", help="by code or name")
        folders.add_argument(
            "--kind",
            choices=[str(kind) for kind in IMAGE_KINDS],
            default="",
            help="which files to import, if the folder has several kinds",
        )
        folders.add_argument(
            "--per",
            choices=["series", "file"],
            default="",
            help="of DICOM files: a series of slices is one image (the default), or each file is",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            self._list_shipped()
            return
        super().handle(*args, **options)

    def _list_shipped(self) -> None:
        titles = {entry["slug"]: entry["title"] for entry in read_datasets(SHIPPED_DATASETS)}
        for name in list_shipped():
            self.stdout.write(f"{name:<24} {titles.get(name, '')}".rstrip())

    def open_sources(self, options: dict[str, Any]) -> Sequence[Source]:
        if not options["path"]:
            raise CommandError(f"Name a {DESCRIPTION} or a folder; see --help.")
        path = Path(options["path"])
        try:
            description = find_description(path)
            if description is None:
                _refuse(options, ONLY_OF_TABLES, f"for a {DESCRIPTION}, and {path} has none")
                self.source = self._open_folder(path.resolve(), options)
            else:
                _refuse(options, OF_FOLDERS, f"for folders without a table: edit {description}")
                given = {name: options[name] for name in OF_TABLES}
                if description.parent == SHIPPED_TABLES and not given["tables"]:
                    raise CommandError(f"Name the folder with the tables of {path}: --tables DIR.")
                given["files"] = given["files"] or find_known_folder(description)
                self.source = open_dataset_toml(description, **given)
        except (UnknownFolder, SourceError, OSError) as error:
            raise CommandError(format_refusal(error)) from error
        if options["rejects"] is None:
            options["rejects"] = choose_rejects(description, path.resolve())
        return [self.source]

    def _open_folder(self, folder: Path, options: dict[str, Any]) -> FolderSource:
        modalities: list[str] = options["modality"]
        fields = {
            "area": options["area"],
            "license": options["license"],
            "modalities": modalities,
        }
        described = read_dataset_description(folder)
        entry = make_entry(
            folder,
            slug=options["slug"],
            title=options["title"],
            fields=fields,
            described=described,
        )
        self.notes = described.notes
        self.stderr.write(f"Reading {folder} …", style_func=str)
        return open_folder(
            folder,
            entry=entry,
            pseudonyms=make_pseudonyms(),
            kind=options["kind"],
            modality=modalities[0] if len(modalities) == 1 else "",
            per_file=options["per"] == "file",
        )

    def say_report(self, report: ImportReport, *, dry_run: bool) -> None:
        super().say_report(report, dry_run=dry_run)
        if isinstance(self.source, FolderSource) and self.source.skipped_masks.count:
            masks = self.source.skipped_masks
            self.stdout.write(
                f"  {masks.count:,} files are taken for masks by their names or folders, and are "
                f"no images: {name_examples(masks)}"
            )
        if isinstance(self.source, FolderSource) and self.source.skipped:
            found = self.source.skipped.most_common()
            named = ", ".join(f"{what} ({count:,})" for what, count in found)
            self.stdout.write(f"  skipped: {named}")
        columns = getattr(self.source, "excluded_columns", ())
        is_described = not isinstance(self.source, FolderSource)
        excluded = describe_excluded(columns, is_described=is_described)
        notes = [*self.notes, *getattr(self.source, "notes", ())]
        more = [f"and {len(notes) - SHOWN_WORDS:,} more notes"] if len(notes) > SHOWN_WORDS else []
        for line in (*notes[:SHOWN_WORDS], *more, *excluded):
            self.stdout.write(f"  {line}")
        if isinstance(self.source, TableSource):
            for line in self._describe_tables(self.source):
                self.stdout.write(f"  {line}")
        if dry_run and isinstance(self.source, TableSource | FolderSource):
            for line in format_columns(self.source):
                self.stdout.write(f"  {line}")

    def write_file(self, dataset: str, note: FileNote) -> None:
        if note.problem == MISSING and isinstance(self.source, TableSource) and self.source.files:
            note = find_similar(self.source.files, note)
        super().write_file(dataset, note)

    def run_imports(self, sources: Sequence[Source], options: dict[str, Any]) -> ImportReport:
        report = super().run_imports(sources, options)
        if options["dry_run"]:
            self.stdout.write("Next: import it, without --dry-run")
        else:
            for line in format_next_steps(sources[0].entry["slug"], report):
                self.stdout.write(line)
        return report

    def _describe_tables(self, source: TableSource) -> Iterator[str]:
        yield from format_joins(source)
        if source.files:
            slug = source.entry["slug"]
            yield from list_unmatched(source.files, partial(self.write_file, slug))


def find_description(path: Path) -> Path | None:
    """The description for the argument PATH; None for a folder without one. Raises CommandError."""
    if path.is_dir():
        described = path / DESCRIPTION
        return described if described.is_file() else None
    if path.is_file():
        if path.suffix.lower() == ".toml":
            return path
        raise CommandError(
            f"{path} is not a {DESCRIPTION}. Describe this file in one (see --list for examples), "
            "or name the folder of the images."
        )
    if (name := str(path)) in list_shipped():
        return SHIPPED_TABLES / f"{name}.toml"
    raise CommandError(
        f"There is no file or folder {path.absolute()}, and no shipped description of that name "
        f"(there are: {', '.join(list_shipped())})."
    )


def list_shipped() -> list[str]:
    """The names of the shipped table descriptions."""
    return sorted(each.stem for each in SHIPPED_TABLES.glob("*.toml"))


def choose_rejects(description: Path | None, folder: Path) -> Path:
    """The path of the list of bad rows: beside the description or folder, or else in VAR_DIR."""
    name = f"{folder.name}.rejects.csv" if description is None else "rejects.csv"
    beside = (description or folder).absolute().parent
    is_free = not any((beside / each).is_dir() for each in (name, name_file_problems(name)))
    if beside != SHIPPED_TABLES and is_free and os.access(beside, os.W_OK):
        return beside / name
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    return Path(settings.VAR_DIR, name)


def _refuse(options: dict[str, Any], names: Sequence[str], why: str) -> None:
    for name in names:
        if options[name]:
            raise CommandError(f"--{name} is only {why}.")
