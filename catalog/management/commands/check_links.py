from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog.bulk.csv_text import csv_text
from catalog.management.links import PAUSE_SECONDS, LinkAnswer, check_links
from catalog.models import Dataset


class Command(BaseCommand):
    help = (
        "Ask the address of each dataset whether it answers: by HEAD, with pauses, a few sites at "
        "a time. Pages then say when an address was last seen. Run it rarely, as once a month."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slugs", nargs="*", help="only these datasets")
        parser.add_argument("--report", type=Path, help="write all answers as CSV")
        parser.add_argument(
            "--pause",
            type=float,
            default=PAUSE_SECONDS,
            help="seconds between requests to one site",
        )
        parser.add_argument(
            "--allow-private", action="store_true", help="also ask addresses of private networks"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        datasets = Dataset.objects.active().exclude(source_url="").order_by("slug")
        if slugs := set(options["slugs"]):
            datasets = datasets.filter(slug__in=slugs)
            if missing := slugs - set(datasets.values_list("slug", flat=True)):
                raise CommandError(f"No dataset with an address: {', '.join(sorted(missing))}")
        answers: list[LinkAnswer] = []

        def say(answer: LinkAnswer) -> None:
            answers.append(answer)
            if answer.problem or answer.note:
                said = answer.problem or f"it {answer.note}"
                self.stdout.write(f"{answer.slug}: {answer.url}: {said}")

        check_links(
            datasets,
            pause_seconds=options["pause"],
            allow_private=options["allow_private"],
            on_answer=say,
        )
        problems = sum(bool(answer.problem) for answer in answers)
        self.stdout.write(f"{len(answers):,} addresses asked, {problems:,} did not answer well")
        if options["report"]:
            self._write_report(options["report"], answers)

    def _write_report(self, path: Path, answers: list[LinkAnswer]) -> None:
        rows = sorted((each.slug, each.url, each.problem, each.note) for each in answers)
        text = csv_text([("dataset", "address", "problem", "note"), *rows])
        path.write_bytes(text)
        self.stdout.write(f"written: {path}")
