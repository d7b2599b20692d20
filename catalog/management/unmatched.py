"""What an import says of tables and files that do not fit each other."""

from collections.abc import Callable, Iterator

from catalog.importers.masks import explain_mask
from catalog.importers.rows import FileNote
from catalog.importers.tables.files import FileFinder
from catalog.importers.tables.join import SHOWN_KEYS
from catalog.importers.tables.lines import show
from catalog.importers.tables.source import TableSource

_SHARED = "named by two rows in different spellings"
_UNUSED, _UNUSED_MASK = "named by no row", "a mask that no row names"
_ADD_ROW = "nothing; or add a row for it, and import again"


def format_joins(source: TableSource) -> Iterator[str]:
    """Lines on joined tables whose rows with one key differ, or that lack keys of other tables."""
    for join in source.joins:
        if join.contradicting:
            keys = ", ".join(show(key) for key in [*join.contradicting][:SHOWN_KEYS])
            more = " …" if len(join.contradicting) > SHOWN_KEYS else ""
            yield (
                f"{join.name}: {len(join.contradicting):,} keys have several rows that differ; "
                f"the first one counts: {keys}{more}"
            )
        if join.unmatched:
            keys = ", ".join(map(show, join.unmatched_keys))
            yield (
                f"{join.name}: {join.unmatched:,} of {join.sought:,} rows have no partner there, "
                f"such as {keys}"
            )


def list_unmatched(files: FileFinder, add: Callable[[FileNote], None]) -> Iterator[str]:
    """Pass on the files that do not fit the table, and yield lines for the report.

    Raises OSError. Files that are missing were listed by the import itself.
    """
    if files.respelled:
        shown = ", ".join(f"{show(name)} as {show(found)}" for name, found in files.examples)
        more = " …" if files.respelled > len(files.examples) else ""
        yield f"{files.respelled:,} files were found under another spelling: {shown}{more}"
    for name in files.shared:
        add(FileNote(_SHARED, name, 0, "", "correct the name in one of the rows"))
    unused = masks = 0
    for name in files.iter_unused():
        is_mask = bool(explain_mask(name))
        masks += is_mask
        unused += not is_mask
        problem, remedy = (_UNUSED_MASK, "nothing if it is one") if is_mask else (_UNUSED, _ADD_ROW)
        add(FileNote(problem, name, 0, "", remedy))
    counts = (
        (len(files.shared), "files that two rows name in different spellings"),
        (unused, "files that no row names"),
        (masks, "masks that no row names"),
    )
    named = [f"{count:,} {what}" for count, what in counts if count]
    if named:
        yield " and ".join(named)


def find_similar(files: FileFinder, note: FileNote) -> FileNote:
    """A missing file with the names of files that may be meant."""
    return note._replace(others=" | ".join(files.offer(note.file)))
