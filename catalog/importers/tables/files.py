"""Where the files of a table's images are, when the table does not say all of it. Pure."""

from pathlib import Path

from catalog.imaging.paths import UnsafePath, check_relative_path, iter_files
from catalog.importers.tables.specs import FilesSpec
from catalog.importers.tables.templates import take_basename


class FileFinder:
    """Finds paths below `folder`. With `anywhere` it knows all names, about 150 bytes for each."""

    def __init__(self, folder: Path, spec: FilesSpec) -> None:
        self._folder = folder
        self._extensions = spec.extensions
        self._anywhere = spec.anywhere
        self._places: dict[str, str | None] = {}

    def find(self, name: str) -> str:
        """The path of the file `name`; where there is none, the path at which it should be.

        Raises `UnsafePath` for a name that leads elsewhere, fits several files or cannot be looked
        for, `OSError` for folders that cannot be listed.
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
                f"The file cannot be looked for ({error.strerror or error}). Mend that and import "
                "again."
            ) from error

    def _search(self, names: list[str]) -> str:
        places = self._places or self._list_places()
        for name in names:
            if name in places:
                if (folder := places[name]) is None:
                    raise UnsafePath(
                        "Several folders have a file of this name. Write the folder into the "
                        "path, in [files]."
                    )
                return f"{folder}{name}"
        return ""

    def _list_places(self) -> dict[str, str | None]:
        """The folder of each name, None for a name that several folders have."""
        folders: dict[str, str] = {}
        for path in iter_files(self._folder):
            name = take_basename(path)
            folder = path[: -len(name)]
            folder = folders.setdefault(folder, folder)
            self._places[name] = None if name in self._places else folder
        return self._places
