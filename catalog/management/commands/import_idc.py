from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from catalog.importers.dataset_entries import SHIPPED_DATASETS, read_datasets
from catalog.importers.idc.collections import find_index, open_collections
from catalog.importers.rows import Source
from catalog.management.importing import ImportCommand
from vocab.lookup import current_vocabularies
from vocab.models import Modality


class Command(ImportCommand):
    help = (
        "Import the NCI Imaging Data Commons: collections become datasets, DICOM series become "
        "images in public buckets. A second import writes only the differences."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--collections",
            default="",
            metavar="A,B",
            help="ids of collections, such as lidc_idri,nlst (default: all)",
        )
        parser.add_argument(
            "--index",
            type=Path,
            metavar="PATH",
            help="the folder of idc_index.parquet and collections_index.parquet "
            "(default: that of the installed package idc-index-data)",
        )

    def open_sources(self, options: dict[str, Any]) -> Sequence[Source]:
        self.stderr.write("Reading the index …", style_func=str)
        ids = [name.strip() for name in options["collections"].split(",") if name.strip()]
        return open_idc(options["index"], ids=ids)


def open_idc(index: Path | None, *, ids: Sequence[str] = ()) -> Sequence[Source]:
    """The collections as sources; raises CommandError, SourceError."""
    # Without terms, all words of a million rows would be unknown, and no row would be bad.
    if not Modality.objects.exists():
        raise CommandError("The vocabularies are empty: run `manage.py load_vocab` first.")
    return open_collections(
        index or find_index(),
        find=current_vocabularies().find,
        ids=ids,
        shipped=read_datasets(SHIPPED_DATASETS),
    )
