from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.http import QueryDict

from catalog.bulk.csv_text import csv_text
from catalog.imaging.paths import UnsafePath, check_relative_path
from catalog.management.progress import Progress
from catalog.models import Dataset
from catalog.querysets import ImageQuerySet
from catalog.search.filters import ImageFilterSet
from catalog.storage.addresses import find_stored_path
from catalog.storage.mirror import MirrorReport, RemoteImage, find_parts, mirror_images
from catalog.storage.roots import resolve_dataset_root
from catalog.storage.sources import name_release
from catalog.wording.formats import count_of, file_size

PROBLEMS_SHOWN = 20
EXIT_INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Fetch the files of a dataset's images that lie elsewhere into the dataset's folder, as "
        "<subject>/<study>/<modality>_<series>/. Run it again to go on: a file that is there with "
        "its size is not fetched again. Only FETCH_BUCKETS and FETCH_HOSTS are asked. Import the "
        "dataset once more (import_idc, load_catalog, import_dataset): then what came is here. "
        "Exits with 1 if something could not be had."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dataset", required=True, metavar="SLUG")
        parser.add_argument(
            "--query",
            default="",
            help="only images that match: the filters as in the URL of the images page, such as "
            "'modality=ct&label=nodule' (default: all pictures and series; 'kind=any': all)",
        )
        parser.add_argument(
            "--report", type=Path, metavar="FILE", help="write what could not be had as CSV"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        dataset = Dataset.objects.active().filter(slug=options["dataset"]).first()
        if dataset is None:
            raise CommandError(f"There is no dataset {options['dataset']!r}.")
        found = find_images(dataset, options["query"])
        rows = list_elsewhere(found)
        if not rows:
            self._say_nothing_to_fetch(found.local().count())
            return
        folder = self._find_folder(dataset)
        images = iter_images(rows, dataset.storage)
        total = sum(row[-1] or 0 for row in rows)
        self.stderr.write(
            f"{count_of(len(rows), 'image')}, about {file_size(total)}, into {folder} …",
            style_func=str,
        )
        bar = Progress(self.stderr, total=total or None, unit="B", desc="Fetching")
        try:
            report = mirror_images(images, folder, on_progress=bar.show)
        except OSError as error:
            raise CommandError(f"The files cannot be written: {error}.") from error
        except KeyboardInterrupt:
            raise CommandError(
                "Stopped. Run it again to go on.", returncode=EXIT_INTERRUPTED
            ) from None
        finally:
            bar.close()
        self._say(dataset, report, options["report"])

    def _find_folder(self, dataset: Dataset) -> Path:
        try:
            folder = resolve_dataset_root(dataset.local_path or dataset.slug)
            folder.mkdir(parents=True, exist_ok=True)
        except (UnsafePath, OSError) as error:
            raise CommandError(str(error)) from error
        if not dataset.local_path:
            dataset.local_path = dataset.slug
            dataset.save(update_fields=["local_path"])
        return folder

    def _say_nothing_to_fetch(self, num_here: int) -> None:
        if not num_here:
            raise CommandError("None of these images lies elsewhere with an address.")
        have = "is" if num_here == 1 else "are"
        self.stdout.write(f"Nothing to fetch: {count_of(num_here, 'image')} {have} here already.")

    def _say(self, dataset: Dataset, report: MirrorReport, path: Path | None) -> None:
        self.stdout.write(
            f"{count_of(report.images, 'image')}: {count_of(report.fetched, 'file')} fetched "
            f"({file_size(report.size)}), {report.here:,} there already."
        )
        problems = [
            (image.source_id, image.address, name_release(why, image.address, dataset.idc_release))
            for image, why in report.problems
        ]
        if path:
            path.write_bytes(csv_text([("source_id", "address", "problem"), *problems]))
        if not problems:
            return
        for source_id, address, why in problems[:PROBLEMS_SHOWN]:
            self.stderr.write(f"{source_id!r}, {address!r}: {why}")
        if len(problems) > PROBLEMS_SHOWN:
            self.stderr.write(f"… and {len(problems) - PROBLEMS_SHOWN:,} more: see --report FILE.")
        raise CommandError(
            f"{len(problems):,} of {count_of(report.images, 'image')} could not be had whole. "
            "Run it again to try once more."
        )


def find_images(dataset: Dataset, query: str) -> ImageQuerySet:
    """The images of a dataset that a query string selects; raises CommandError."""
    asked = QueryDict(query.strip().rpartition("?")[2], mutable=True)
    asked.setlist("dataset", [dataset.slug])
    filters = ImageFilterSet(asked)
    if filters.problems:
        raise CommandError(" ".join(filters.problems))
    return filters.images()


def list_elsewhere(images: ImageQuerySet) -> list[tuple[Any, ...]]:
    """What is known of those that lie elsewhere; their size in bytes is the last value."""
    elsewhere = images.filter(file_path="").exclude(remote_url="").order_by("source_id")
    return list(
        elsewhere.values_list(
            "source_id",
            "remote_url",
            "subject_id",
            "metadata_json__StudyInstanceUID",
            "modality__code",
            "size_bytes",
        )
    )


def iter_images(rows: list[tuple[Any, ...]], storage: str) -> Iterator[RemoteImage]:
    """The images with their places: what lies in the dataset's storage has its path there."""
    for source_id, address, subject, study, modality, _ in rows:
        if path := find_stored_path(storage, address):
            with suppress(UnsafePath):
                *folders, name = check_relative_path(path).split("/")
                if not address.endswith("/*"):
                    yield RemoteImage(source_id, address, tuple(folders), name)
                    continue
        yield RemoteImage(source_id, address, find_parts(subject, study, modality or "", source_id))
