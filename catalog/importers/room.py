"""How much of an import is kept: small tables may make very much, and a database has an end."""

from catalog.bulk.database_space import free_database_bytes
from catalog.importers.rows import ImportStopped
from catalog.wording.formats import file_size

# Characters of an image's metadata: pages and archives show them whole.
MAX_METADATA = 200_000
# Bytes of all images together: so many, and so many more for each; most have some hundreds.
MAX_ALL = 200_000_000
MAX_AVERAGE = 20_000
# The path, name, sums and time of a slice, which is a real file.
BYTES_OF_A_FILE = 1_500
# Beside the rows that are staged the database has those of the catalog, and their indexes.
GROWTH = 2
_BETWEEN_CHECKS = 32_000_000
_HINT = "Leave long columns out: drop of [metadata]."


def say_too_long(length: int) -> str:
    """Why metadata of so many characters are refused, and what to do."""
    return f"What is kept of it has {length:,} characters (limit: {MAX_METADATA:,}). {_HINT}"


class Room:
    """Counts what an import keeps."""

    def __init__(self) -> None:
        self._images = self._bytes = self._next_check = 0
        self._allowed = MAX_ALL

    def add(self, line: str, num_files: int = 0) -> None:
        """Count the line of an image, which also names its files if it has several.

        Raises:
            ImportStopped: it is too much for what the source is, or for the database.
        """
        self._images += 1
        self._allowed += MAX_AVERAGE + num_files * BYTES_OF_A_FILE
        self._bytes += len(line) if line.isascii() else len(line.encode())
        if self._bytes >= self._next_check:
            self.check()

    def check(self) -> None:
        """Raises ImportStopped, as ``add`` does."""
        self._next_check = self._bytes + _BETWEEN_CHECKS
        if self._bytes > self._allowed:
            raise ImportStopped(
                f"What is kept of the first {self._images:,} images has {self._bytes:,} "
                f"bytes, more than {MAX_AVERAGE:,} each, so nothing was changed. {_HINT}"
            )
        free = free_database_bytes()
        if free is not None and free < self._bytes * GROWTH:
            raise ImportStopped(
                f"The server's database has no room for this import ({file_size(max(0, free))} are "
                "free), so nothing was changed. Make room on its disk, or allow it more "
                "(DATABASE_RESERVE_BYTES, DATABASE_MAX_BYTES)."
            )
