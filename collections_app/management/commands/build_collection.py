import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.http import QueryDict

from catalog.management.progress import Progress
from catalog.search.filters import ImageFilterSet
from catalog.search.kinds import count_hidden
from catalog.wording.formats import file_size
from catalog.wording.object_counts import say_objects
from collections_app.builds.build import build_collection
from collections_app.builds.problems import list_problems
from collections_app.builds.verification import verify_archive
from collections_app.management.output import OutputError, check_output, copy_file, escape
from collections_app.models import MAX_TITLE, Collection, Status
from collections_app.provenance_keys import NUM_FILES
from collections_app.selection.refusals import NotBuildable
from collections_app.selection.summary import suggest_title
from collections_app.services import (
    NotPossibleNow,
    build_without_problems,
    cancel_build,
    create_collection,
)
from collections_app.storage import ArchiveTrouble, archive_store

EXIT_INTERRUPTED = 130
WAIT_SECONDS = 0.5
PROBLEMS_SHOWN = 20


class Command(BaseCommand):
    help = (
        "Build a collection of all images that match a query, verify its archive, and copy the "
        "archive to a file. Exits with 1 and the reason if that fails."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "query",
            metavar="QUERY",
            help="the filters as in the URL of the images page, such as "
            "'modality=dx&label=nodule', or the whole URL; '' for all images. Only pictures and "
            "series are taken, unless the query asks for others: 'kind=segmentation', "
            "'kind=picture&kind=report', 'kind=any', or a modality such as 'modality=seg'",
        )
        parser.add_argument("--user", required=True, metavar="NAME", help="the owner")
        parser.add_argument("--title", default="", help="default: the filters in words")
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="copy the archive to this file"
        )
        parser.add_argument("--force", action="store_true", help="overwrite the output file")
        parser.add_argument(
            "--without-bad",
            action="store_true",
            help="exclude files that are not as the catalog says; missing.csv lists them",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        output: Path | None = options["output"] and Path(options["output"])
        user = find_user(options["user"])
        filters = ImageFilterSet(QueryDict(read_query(options["query"])))
        try:
            if output:
                check_output(output, force=options["force"])
            with _stop_on_sigterm():
                collection = _create(user, filters, options["title"])
                self._say_hidden(filters)
                self._build_and_verify(collection, without_bad=options["without_bad"])
                if output:
                    self._copy_archive(collection, output, force=options["force"])
        except (OutputError, DatabaseError, OSError) as error:
            raise CommandError(" ".join(str(error).split())) from error
        except KeyboardInterrupt:
            self.stderr.write("Stopped.")
            raise SystemExit(EXIT_INTERRUPTED) from None
        self._report(collection, output)

    def _say_hidden(self, filters: ImageFilterSet) -> None:
        if hidden := count_hidden(filters):
            verb = "matches" if sum(hidden.values()) == 1 else "match"
            self.stderr.write(
                f"Pictures and series only. {say_objects(hidden)} {verb} as well: add kind=any to "
                "the query to include them.",
                style_func=str,
            )

    # --- Building ---
    def _build_and_verify(self, collection: Collection, *, without_bad: bool) -> None:
        """Build until it is ready and verified; raises CommandError if that fails."""
        try:
            self._build(collection)
            while collection.status == Status.FAILED and without_bad and _has_problems(collection):
                excluded = _exclude_problems(collection)
                self.stderr.write(
                    f"Bad files: {excluded:,}. Building without them.", style_func=str
                )
                self._build(collection)
        except KeyboardInterrupt:
            self._cancel(collection)
            raise
        if collection.status != Status.READY:
            self._explain_failure(collection)

    def _build(self, collection: Collection) -> None:
        """Build and verify it here, or wait for a worker that has claimed it first."""
        with Progress(
            self.stderr, total=collection.num_bytes, unit="B", desc="building"
        ) as progress:
            _work_until_verified(collection, progress.show)

    def _cancel(self, collection: Collection) -> None:
        try:
            cancel_build(collection=collection)
            self.stderr.write("The build is cancelled. All its files are deleted.")
        except NotPossibleNow:
            self.stderr.write(f"The archive is ready, but not verified yet: {page_of(collection)}")

    def _explain_failure(self, collection: Collection) -> None:
        problems = list_problems(collection, is_excluded=False).select_related("image__dataset")
        for item in problems[:PROBLEMS_SHOWN]:
            whose = f"{item.image.dataset.slug}: {item.image.source_id}"
            self.stderr.write(escape(f"{whose}: {item.problem}"))
        more = problems.count() - PROBLEMS_SHOWN
        if more > 0:
            self.stderr.write(f"and {more:,} more, listed on {page_of(collection)}")
        advice = " Use --without-bad to exclude these files." if more > -PROBLEMS_SHOWN else ""
        raise CommandError(f"{collection.error_message}{advice}")

    # --- The output ---
    def _copy_archive(self, collection: Collection, output: Path, *, force: bool) -> None:
        size = collection.archive_size or 0
        where = f"The archive is ready on {page_of(collection)}"
        try:
            with (
                archive_store().open_archive(collection.archive_path, size) as source,
                Progress(self.stderr, total=size, unit="B", desc="copying") as progress,
            ):
                copy_file(source, output, size=size, force=force, on_bytes=progress.show)
        except OutputError as error:
            raise OutputError(f"{error} {where}") from error
        except ArchiveTrouble as error:
            raise OutputError(f"{output} could not be written: {error}. {where}") from error

    def _report(self, collection: Collection, output: Path | None) -> None:
        num_files = collection.provenance.get(NUM_FILES, collection.num_files)
        self.stdout.write(
            f"{say_objects(collection.kinds)}, {num_files:,} files, "
            f"{file_size(collection.archive_size)}: verified."
        )
        if collection.num_excluded:
            self.stdout.write(f"Bad files excluded: {collection.num_excluded:,}.")
        self.stdout.write(f"SHA-256: {collection.archive_sha256}")
        self.stdout.write(f"Fingerprint: {collection.fingerprint}")
        self.stdout.write(f"Page: {page_of(collection)}")
        if output:
            self.stdout.write(f"Archive: {output}")


def find_user(name: str) -> User:
    """The active user of this name; raises CommandError if there is none."""
    user = get_user_model()._default_manager.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user {name!r}. Give the name of an existing user.")
    if not user.is_active:
        raise CommandError(f"The account of {name!r} is not active. Give the name of another user.")
    return user


def read_query(text: str) -> str:
    """The query string of a URL, or of the last part of one."""
    text = text.strip()
    if "://" in text or text.startswith("/"):
        try:
            return urlsplit(text).query
        except ValueError as error:
            raise CommandError(f"{text!r} is not a URL: {error}.") from error
    return text.removeprefix("?")


def page_of(collection: Collection) -> str:
    """The URL of the collection's page."""
    return f"{settings.SITE_URL}{collection.get_absolute_url()}"


def _create(user: User, filters: ImageFilterSet, title: str) -> Collection:
    if not filters.problems and not filters.total:
        raise CommandError(_explain_nothing(filters))
    try:
        return create_collection(
            user=user,
            title=_make_title(title, filters),
            filters=filters,
            expected_images=filters.total,
            notify=False,
        )
    except NotBuildable as error:
        raise CommandError(str(error)) from error


def _explain_nothing(filters: ImageFilterSet) -> str:
    if hidden := count_hidden(filters):
        return (
            f"No picture or series matches this query, but {say_objects(hidden)}. Add kind=any to "
            "the query to take them."
        )
    return "No image matches this query. Change the filters."


def _make_title(title: str, filters: ImageFilterSet) -> str:
    given = " ".join(title.split())
    if len(given) > MAX_TITLE or not given.isprintable():
        raise CommandError(f"The title must be one line of at most {MAX_TITLE} characters.")
    return given or suggest_title(filters)


def _work_until_verified(collection: Collection, on_progress: Callable[[int], None]) -> None:
    """Do what a worker does, until the collection is ready and verified, or failed."""
    while True:
        build_collection(collection_id=collection.pk, on_progress=on_progress)
        verify_archive(collection_id=collection.pk)
        try:
            collection.refresh_from_db()
        except Collection.DoesNotExist as error:
            raise CommandError("The collection was deleted while it was built.") from error
        if collection.status != Status.PENDING and (
            collection.status != Status.READY or collection.verified_at
        ):
            return
        # A worker has claimed it first.
        build = collection.last_build
        on_progress(build.progress_bytes if build else 0)
        time.sleep(WAIT_SECONDS)


def _has_problems(collection: Collection) -> bool:
    return list_problems(collection, is_excluded=False).exists()


def _exclude_problems(collection: Collection) -> int:
    try:
        return build_without_problems(collection=collection)
    except (NotPossibleNow, NotBuildable) as error:
        raise CommandError(str(error)) from error


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Let SIGTERM stop the block like Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
