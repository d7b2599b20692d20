"""What an import says of tables and files that do not fit each other."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from catalog.importers.tables.files import FileFinder
from catalog.importers.tables.lines import show
from catalog.importers.tables.source import TableSource
from catalog.management.rejects import ListFile

SHOWN_KEYS = 5
COLUMNS = ("problem", "file", "similar")
FILE_NAME = "unmatched-files.csv"


def format_joins(source: TableSource) -> Iterator[str]:
    """Lines on joined tables in which several rows with one key say different things."""
    for join in source.joins:
        if join.contradicting:
            keys = ", ".join(show(key) for key in [*join.contradicting][:SHOWN_KEYS])
            more = " …" if len(join.contradicting) > SHOWN_KEYS else ""
            yield (
                f"{join.name}: {len(join.contradicting):,} keys have several rows that differ; "
                f"the first one counts: {keys}{more}"
            )


def list_unmatched(files: FileFinder, path: Path) -> Iterator[str]:
    """Write the list to ``path``, and yield lines for the report; raises OSError."""
    if files.respelled:
        shown = ", ".join(f"{show(name)} as {show(found)}" for name, found in files.examples)
        more = " …" if files.respelled > len(files.examples) else ""
        yield f"{files.respelled:,} files were found under another spelling: {shown}{more}"
    with closing(ListFile(path, COLUMNS)) as listed:
        for name in files.missing:
            listed.add("missing", name, " | ".join(files.offer(name)))
        missing = listed.count
        for name in files.shared:
            listed.add("named by two rows in different spellings", name, "")
        shared = listed.count - missing
        for name in files.iter_unused():
            listed.add("named by no row", name, "")
        unused = listed.count - missing - shared
    counts = (
        (missing, "missing files"),
        (shared, "files that two rows name in different spellings"),
        (unused, "files that no row names"),
    )
    named = [f"{count:,} {what}" for count, what in counts if count]
    if named:
        yield f"{' and '.join(named)}: listed in {path}"
