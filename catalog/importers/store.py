"""Stores a source's rows by (dataset, source id), all of them or none."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from catalog.importers import queries
from catalog.importers.encoding import RowEncoder
from catalog.importers.identifying_counts import keep_identifying_counts
from catalog.importers.merge import merge_staged
from catalog.importers.new_labels import NewLabels
from catalog.importers.options import DEFAULT_LIMITS, NO_LISTENERS, ImportLimits, Listeners
from catalog.importers.room import Room
from catalog.importers.rows import BadRow, FileNote, ImageRow, ImportReport, ImportStopped
from catalog.importers.same_bytes import count_same_bytes, keep_counts, list_same_bytes
from catalog.importers.staging import Staging, open_staging
from catalog.importers.tables.lines import show
from catalog.importers.terms import ManyNewLabels, is_storable, load_words
from catalog.models import Dataset, ImageProfile
from catalog.profiles.building import lock_datasets, touch_datasets

ROWS_BETWEEN_REPORTS = 2_000
# So many bad rows are always allowed, as a share of a small table says little.
ALWAYS_ALLOWED = 100
# From so many bad rows on, a table of unknown length is not read on if most of it is bad.
MANY_BAD = 10_000
SHOWN_REJECTS = 5
# So many images may always be removed, and of more of them at most this share.
REMOVALS_ALLOWED = 10
MAX_SHARE_REMOVED = 0.5
_HINT_PER_FILE = "If each file of a series was an image before, --per file imports them so again. "
_DROP_DUPLICATES = "DELETE FROM staged_image WHERE n IN (SELECT n FROM staged_duplicate)"


class ManyRemovals(ImportStopped):
    """An import would remove most of a dataset's images, which nobody has allowed."""


def removes_many(removed: int, before: int) -> bool:
    """Whether an import that removes so many images needs to be allowed to."""
    return removed > REMOVALS_ALLOWED and removed > MAX_SHARE_REMOVED * before


def store_images(
    *,
    dataset: Dataset,
    rows: Iterable[ImageRow | BadRow],
    num_rows: int | None = None,
    limits: ImportLimits = DEFAULT_LIMITS,
    listeners: Listeners = NO_LISTENERS,
    dry_run: bool = False,
    save: Callable[[], Dataset] | None = None,
    report: ImportReport | None = None,
) -> ImportReport:
    """Make the dataset's images, their labels and profiles exactly ``rows``.

    Rows are read once and not kept in memory; of rows with the same source id the first one wins.
    Images that are not among them are deleted, or marked as removed if they are held. Images of bad
    rows stay as they are; if a bad row has no source id, no image is removed. The facts of files
    must have been read: see ``catalog.importers.local_files``.

    If ``num_rows`` is known, the share of bad rows is checked before the end; else reading ends
    when most rows are bad. Rows that repeat an id count as soon as they are very many. ``on_file``
    of the listeners gets the files that have the bytes of another. After the last row ``save`` is
    called in the transaction that writes everything, under the dataset's lock, and returns the
    dataset as it is now. A ``dry_run`` rolls that transaction back. An existing ``report`` may be
    continued.

    Rows are staged before, outside any transaction of this function, so that nobody waits for an
    import that reads. New labels are added in a transaction of their own just before the last one:
    see ``NewLabels``.

    Raises:
        ImportStopped: there are too many bad rows, no good row, too many new labels, too much that
            would be kept, or no room in the database. Nothing was
            changed.
        ManyRemovals: an ImportStopped, without ``limits.allow_removal``.
    """
    report = report or ImportReport()
    report.slug = dataset.slug
    rejects = _Rejects(report, limits, num_rows, listeners.on_reject)
    words = load_words([each.pk for each in dataset.modalities.all()], dry_run=dry_run)
    encoder = RowEncoder(words, area_id=dataset.area_id, report=report)
    with open_staging() as staging:
        if num_rows is not None and num_rows > limits.max_rows:
            raise _too_many_rows(limits.max_rows)
        try:
            good = _stage(staging, encoder, rows, rejects)
        except ManyNewLabels as error:
            raise ImportStopped(f"{error} Nothing was changed.") from error
        listeners.on_read()
        if not good:
            raise ImportStopped(_explain_nothing(dataset, rejects))
        if encoder.has_files:
            _note_same_bytes(dataset, report, listeners.on_file)
        if not dry_run:
            _save_labels(words.labels.new)
        with transaction.atomic(), connection.cursor() as cursor:
            lock_datasets(cursor, [dataset.pk])
            dataset = save() if save else dataset
            if dry_run:
                words.labels.new.pretend()
            _merge(cursor, dataset, report, limits, has_files=encoder.has_many_files)
            keep_counts(dataset.pk, report.same_bytes)
            keep_identifying_counts(cursor, dataset.pk)
            profiles = ImageProfile.objects.filter(dataset=dataset.pk)
            report.kinds = Counter(profiles.count_kinds())
            if dry_run:
                transaction.set_rollback(True)
    return report


@dataclass
class _Rejects:
    """Counts bad rows, passes them on, and checks that there are not too many."""

    report: ImportReport
    limits: ImportLimits
    num_rows: int | None
    on_reject: Callable[[BadRow], None]
    first: list[BadRow] = field(default_factory=list)
    # Rows with an id that was there before, while rows are read; the first of these ids.
    repeated: int = 0
    repeated_id: str = ""

    def add(self, row: BadRow) -> None:
        self.report.rejected += 1
        self.report.rejected_for[row.column].add(row.value)
        if len(self.first) < SHOWN_REJECTS:
            self.first.append(row)
        self.on_reject(row)
        if self.limits.max_rejected is not None or self.num_rows is not None:
            self.check_limit(self.num_rows or 0)

    def add_repeated(self, source_id: str) -> None:
        """Count a row whose id was there before; they are reported when all rows are staged."""
        self.repeated += 1
        self.repeated_id = self.repeated_id or source_id
        if self.repeated <= MANY_BAD:
            return  # the list of bad rows will name them all
        if self.limits.max_rejected is not None or self.num_rows is not None:
            self.check_limit(self.num_rows or 0)

    def check_early(self, number: int) -> None:
        """The same for a source of unknown length of which ``number`` rows were read."""
        bad = self.report.rejected + self.repeated
        number = max(number, self.num_rows or 0)
        is_most = bad > max(self.limits.max_share, 0.5) * number
        if bad > MANY_BAD and is_most and self.limits.max_rejected is None:
            self.check_limit(number)

    def note(self, row: ImageRow) -> None:
        """Count the values of a good row that are unknown, and pass its conflicts on."""
        for name, text in row.unread:
            self.report.unread[name].add(text)
        for conflict in row.conflicts:
            self.report.conflicts[conflict.column] += 1
            self.on_reject(conflict)

    def check_limit(self, num_rows: int) -> None:
        """Raise ImportStopped if there are too many bad rows among ``num_rows``."""
        allowed = self.limits.max_rejected
        if allowed is None:
            allowed = max(ALWAYS_ALLOWED, int(self.limits.max_share * num_rows))
        repeated = self.repeated if self.repeated > MANY_BAD else 0
        bad = self.report.rejected + repeated
        if bad > allowed:
            again = f"{self.repeated:,} of them repeat an id, such as “{show(self.repeated_id)}”. "
            raise ImportStopped(
                f"{bad:,} rows cannot be read (limit: {allowed:,}), so nothing was changed. "
                f"{again if repeated else ''}{self.describe()} Correct the rows or how they "
                "are read, or raise the limit with --max-rejected."
            )

    def describe(self) -> str:
        """The first bad rows as text."""
        shown = [f"line {row.line}, {row.column} “{row.value}”: {row.reason}" for row in self.first]
        return f"The first: {' | '.join(shown)}" if shown else ""


def _stage(
    staging: Staging,
    encoder: RowEncoder,
    rows: Iterable[ImageRow | BadRow],
    rejects: _Rejects,
) -> int:
    """Check all rows and stage the good ones; returns their number."""
    number = slices = 0
    max_rows = rejects.limits.max_rows
    seen, room = _SeenIds(), Room()
    for number, row in enumerate(rows, 1):
        line = row if isinstance(row, BadRow) else encoder.encode(row, number)
        if isinstance(line, str):
            room.add(line, len(row.files) if isinstance(row, ImageRow) else 0)
            staging.add_line(line)
            if seen.has(row.source_id):
                rejects.add_repeated(row.source_id)
            if isinstance(row, ImageRow):
                slices += len(row.files)
                if row.unread or row.conflicts:
                    rejects.note(row)
        else:
            _reject(line, staging, rejects)
        if not number % ROWS_BETWEEN_REPORTS:
            rejects.check_early(number)
        if number > max_rows:
            raise _too_many_rows(max_rows)
    rejects.repeated = 0
    staging.finish()
    room.check()
    rejected = rejects.report.rejected
    if seen.may_repeat():
        with transaction.atomic():
            _reject_duplicates(rejects)
    rejects.check_limit(number + slices)
    return number - rejected


def _note_same_bytes(
    dataset: Dataset, report: ImportReport, on_file: Callable[[FileNote], None]
) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        report.same_bytes = count_same_bytes(cursor, dataset.pk)
        for note in list_same_bytes(report.same_bytes):
            on_file(note)


def _save_labels(labels: NewLabels) -> None:
    """Add the new labels, and let the staged rows have those that are there meanwhile."""
    if others := labels.save():
        reserved, ids, words = map(list, zip(*others, strict=True))
        given = {"reserved": reserved, "ids": ids, "words": words}
        with connection.cursor() as cursor:
            cursor.execute(queries.USE_OTHER_LABELS, given)


class _SeenIds:
    """Tells most ids that were there before at once, and at the end whether there are any.

    The first, to notice a stream of equal rows, takes 8 MB however many ids there are; the second
    8 bytes an id, so that the table of all rows is searched only where it has something to find.
    """

    def __init__(self) -> None:
        self._some = array("q", [0]) * (1 << 20)
        self._all = array("q")

    def has(self, source_id: str) -> bool:
        """Whether the id was there before, as far as is known; remembers it."""
        value = hash(source_id)
        self._all.append(value)
        place = value & 0xFFFFF
        if self._some[place] == value:
            return True
        self._some[place] = value
        return False

    def may_repeat(self) -> bool:
        """False if no id was there twice, since equal ids have equal hashes."""
        ordered = np.sort(np.frombuffer(self._all, dtype=np.int64))
        return bool((ordered[1:] == ordered[:-1]).any())


def _too_many_rows(max_rows: int) -> ImportStopped:
    return ImportStopped(
        f"The source has more than {max_rows:,} rows, so nothing was changed. Check that it is the "
        "right file; if all of them are images, raise the limit with --max-rows."
    )


def _reject(row: BadRow, staging: Staging, rejects: _Rejects) -> None:
    if row.source_id and is_storable(row.source_id):
        staging.add_rejected(row.source_id)
    else:
        rejects.report.nameless += 1
    rejects.add(row)


def _reject_duplicates(rejects: _Rejects) -> None:
    with connection.cursor() as cursor:
        cursor.execute(queries.BY_TABLE)
        cursor.execute(queries.FIND_DUPLICATES)
        cursor.execute(_DROP_DUPLICATES)
    with connection.chunked_cursor() as duplicates:
        duplicates.execute("SELECT line, source_id, first_line FROM staged_duplicate ORDER BY n")
        for line, source_id, first_line in duplicates:
            where = f"line {first_line}" if first_line else "an earlier row"
            reason = f"The id was already used in {where}, which was kept. Make ids unique."
            if first_line:
                reason += " If several rows describe one image, add [many] to the description."
            rejects.add(BadRow(line, "source_id", source_id, reason, source_id=source_id))


def _explain_nothing(dataset: Dataset, rejects: _Rejects) -> str:
    if rejects.first:
        return f"No row of “{dataset.slug}” can be read; nothing was changed. {rejects.describe()}"
    return (
        f"The source of “{dataset.slug}” has no rows; nothing was changed. Check that it is the "
        "right file or folder."
    )


def _merge(
    cursor: CursorWrapper,
    dataset: Dataset,
    report: ImportReport,
    limits: ImportLimits,
    *,
    has_files: bool,
) -> None:
    def check_removal(removed: int, before: int) -> None:
        if removes_many(removed, before) and not limits.allow_removal:
            raise ManyRemovals(
                f"{removed:,} of the {before:,} images of “{dataset.slug}” are not in this source "
                "and would be removed, so nothing was changed. Check that it is the right file or "
                "folder, and that its slug is not that of another dataset. "
                f"{_HINT_PER_FILE if report.series else ''}If the images are to be removed, "
                "import with --allow-removal."
            )

    # A bad row without a source id may be of any image, so no image is removed then.
    keeps_missing = bool(report.nameless)
    merged = merge_staged(
        cursor,
        dataset.pk,
        keeps_missing=keeps_missing,
        has_files=has_files,
        check_removal=check_removal,
    )
    report.before = merged.before
    if merged.is_written:
        touch_datasets(cursor, [dataset.pk])
    report.added, report.changed = merged.added, merged.changed
    report.unchanged, report.removed = merged.unchanged, merged.removed
