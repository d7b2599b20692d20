"""Finds the files of a table's images if the table has only a part of their paths."""

from pathlib import Path

from catalog.imaging.paths import UnsafePath, check_relative_path, iter_files
from catalog.importers.tables.specs import FilesSpec
from catalog.importers.tables.templates import take_basename


class FileFinder:
    """Finds paths below `folder`. With `anywhere`, all names are in memory (150 bytes for each)."""

    def __init__(self, folder: Path, spec: FilesSpec) -> None:
        self._folder = folder
        self._extensions = spec.extensions
        self._anywhere = spec.anywhere
        self._places: dict[str, str | None] = {}

    def find(self, name: str) -> str:
        """The path of the file `name`; if it does not exist, the path where it should be.

        Raises `UnsafePath` for a name that leads out of the folder, matches several files or cannot
        be looked up, and `OSError` for folders that cannot be listed.
        """
        check_relative_path(name)
        candidates = [name]
        if self._extensions and not name.endswith(self._extensions):
            candidates = [check_relative_path(name + each) for each in self._extensions]
        if self._anywhere:
            found = self._search([take_basename(candidate) for candidate in candidates])
        elif len(candidates) > 1:
            found = next(filter(self._is_file, candidates), "")
        else:
            found = ""  # there is no choice
        return found or candidates[0]

    def _is_file(self, path: str) -> bool:
        try:
            return (self._folder / path).is_file()
        except OSError as error:
            raise UnsafePath(
                f"The file cannot be looked up ({error.strerror or error}). Fix that and import "
                "again."
            ) from error

    def _search(self, names: list[str]) -> str:
        places = self._places or self._list_places()
        for name in names:
            if name in places:
                if (folder := places[name]) is None:
                    raise UnsafePath(
                        "Several folders have a file of this name. Add the folder to the path in "
                        "[files]."
                    )
                return f"{folder}{name}"
        return ""

    def _list_places(self) -> dict[str, str | None]:
        """The folder of each file name; None if several folders have a file of that name."""
        folders: dict[str, str] = {}
        for path in iter_files(self._folder):
            name = take_basename(path)
            folder = path[: -len(name)]
            folder = folders.setdefault(folder, folder)
            self._places[name] = None if name in self._places else folder
        return self._places
