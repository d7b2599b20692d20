from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog.profiles.audit import DatasetAudit, audit_datasets, repair_datasets


class Command(BaseCommand):
    help = (
        "Check that the counts of datasets and filters agree with the images. The exit code is "
        "1 if they do not; --repair recounts them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--repair", action="store_true", help="recount the datasets that are wrong"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wrong = self._audit()
        if wrong and options["repair"]:
            repair_datasets(dataset_ids=[each.dataset_id for each in wrong])
            self.stdout.write(f"Recounted: {_join(wrong)}. Checking again:")
            wrong = self._audit()
        if wrong:
            advice = (
                "Images were changed outside medagg meanwhile; try again."
                if options["repair"]
                else "Run manage.py check_catalog --repair."
            )
            raise CommandError(f"The counts of {_join(wrong)} are wrong. {advice}")

    def _audit(self) -> list[DatasetAudit]:
        wrong, datasets, images = [], 0, 0
        for audited in audit_datasets():
            datasets, images = datasets + 1, images + audited.counted
            if not audited.is_correct:
                wrong.append(audited)
                self.stdout.write(f"{audited.slug}: {_describe(audited)}")
        true = datasets - len(wrong)
        self.stdout.write(f"{true:,} of {datasets:,} datasets are correct ({images:,} images)")
        return wrong


def _describe(audited: DatasetAudit) -> str:
    found = [
        (audited.wrong_profiles, "wrong profiles"),
        (audited.wrong_images, "images with a wrong profile or none"),
        (audited.removed_images, "removed images that are counted"),
        (audited.wrong_texts, "wrong texts"),
    ]
    parts = [f"{count:,} {what}" for count, what in found if count]
    if audited.has_wrong_count:
        parts.append(f"states {audited.num_images:,} images and has {audited.counted:,}")
    if audited.has_wrong_size:
        parts.append(f"states {audited.size_mb} MB and has {audited.summed_mb}")
    return ", ".join(parts)


def _join(audits: list[DatasetAudit]) -> str:
    return ", ".join(audited.slug for audited in audits)
