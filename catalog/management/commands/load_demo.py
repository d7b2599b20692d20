from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from catalog.demo import phantom_images, pydicom_samples
from catalog.demo.demo_files import require_writable
from catalog.importers.options import ImportLimits, Listeners
from catalog.importers.rows import BadRow, ImportReport
from catalog.importers.shipped import load_shipped_datasets
from catalog.importers.store import store_images
from catalog.models import Dataset


class Command(BaseCommand):
    help = (
        "Load the demo catalog: entries for open datasets, pydicom's DICOM files and "
        "synthetic phantoms. Existing datasets keep what curators changed."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            require_writable(settings.DATASET_ROOTS[0])
        except OSError as error:
            advice = "Make it writable, or set MEDAGG_DATASET_ROOTS to another folder."
            raise CommandError(f"{error} {advice}") from error
        # All or nothing: `manage.py up` loads the demo only into an empty catalog.
        with transaction.atomic():
            self._load()

    def _load(self) -> None:
        added, kept = load_shipped_datasets(more=[pydicom_samples.ENTRY, phantom_images.ENTRY])
        self.stdout.write(f"datasets: {added} added, {kept} existed")
        # The phantoms are loaded first, so that they come first on the images page.
        self._load_phantoms()
        self._load_pydicom()

    def _load_pydicom(self) -> None:
        skipped: list[BadRow] = []
        report = store_images(
            dataset=Dataset.objects.get(slug=pydicom_samples.SLUG),
            rows=pydicom_samples.copy_samples(settings.DATASET_ROOTS[0] / pydicom_samples.SLUG),
            # Many of pydicom's samples are made to be unreadable.
            limits=ImportLimits(max_share=1.0, allow_removal=True),
            listeners=Listeners(on_reject=skipped.append),
        )
        self._say(report)
        for row in skipped:
            self.stdout.write(f"  skipped: {row.value}: {row.reason}")

    def _load_phantoms(self) -> None:
        folder = settings.DATASET_ROOTS[0] / phantom_images.SLUG
        dataset = Dataset.objects.get(slug=phantom_images.SLUG)
        known = phantom_images.known_phantoms(dataset.images.all())
        rows = phantom_images.write_phantoms(folder, known=known)
        limits = ImportLimits(allow_removal=True)
        self._say(store_images(dataset=dataset, rows=rows, limits=limits))

    def _say(self, report: ImportReport) -> None:
        self.stdout.write(
            f"{report.slug}: {report.added} added, {report.changed} changed, "
            f"{report.unchanged} unchanged, {report.removed} removed"
        )
