"""Finds the files of a table's images, also where only the spelling of their names differs."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from catalog.imaging.paths import UnsafePath, check_relative_path, iter_files
from catalog.importers.options import NO_LISTENERS
from catalog.importers.tables.file_names import NameIndex, split_suffix
from catalog.importers.tables.specs import FilesSpec
from catalog.importers.tables.templates import take_basename

# About 100 bytes each.
MOST_NAMES = 1_000_000
SHOWN_NAMES = 5


class _Folder:
    """The names of a folder's files; an index of them is made when a name is not there."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self._index: NameIndex | None = None

    @property
    def index(self) -> NameIndex:
        if self._index is None:
            self._index = NameIndex(self.names)
        return self._index


class StoredNames:
    """Names the files of a dataset whose files lie in its storage only; stands for a FileFinder."""

    def __init__(self, spec: FilesSpec) -> None:
        self._extensions = spec.extensions

    def find(self, name: str) -> str:
        """The path of the file ``name``; raises UnsafePath."""
        return _list_candidates(name, self._extensions)[0]


def _list_candidates(name: str, extensions: tuple[str, ...]) -> list[str]:
    """The paths that a file of this name may have; raises UnsafePath."""
    check_relative_path(name)
    if not extensions or name.endswith(extensions):
        return [name]
    return [check_relative_path(name + each) for each in extensions]


class FileFinder:
    """Finds paths below `folder`.

    Afterwards `missing` are the paths that are not there, `respelled` counts the files that were
    found under another name, with some `examples`, and `shared` are files that two rows name in
    different ways. Names of files are in memory, at most `MOST_NAMES`; with `anywhere` all of them
    (150 bytes each).
    """

    def __init__(self, folder: Path, spec: FilesSpec) -> None:
        self._folder = folder
        self._extensions = spec.extensions
        self._anywhere = spec.anywhere
        self._places: dict[str, str | None] = {}
        self._folders: dict[str, _Folder] = {}
        self._all: NameIndex | None = None
        self.reset()

    def reset(self, check_stopped: Callable[[], None] = NO_LISTENERS.check_stopped) -> None:
        """Forget what was found; ``check_stopped`` is called for each file that is listed."""
        self._check_stopped = check_stopped
        self.missing: list[str] = []
        self.shared: list[str] = []
        self.examples: list[tuple[str, str]] = []
        self._used: set[int] = set()  # hashes, as a million paths would need 150 MB
        self._respelled: set[int] = set()
        self._folders.clear()
        self._num_names = 0
        self._places.clear()
        self._all = None

    @property
    def respelled(self) -> int:
        return len(self._respelled)

    def find(self, name: str) -> str:
        """The path of the file `name`; if it does not exist, the path where it should be.

        Raises `UnsafePath` for a name that leads out of the folder, matches several files or cannot
        be looked up, and `OSError` for folders that cannot be listed.
        """
        candidates = _list_candidates(name, self._extensions)
        if found := self._find_exact(candidates):
            key = hash(found)
            if key in self._respelled:
                self.shared.append(found)
        elif found := self._find_respelled(candidates):
            key = hash(found)
            self._respelled.add(key)
            if len(self.examples) < SHOWN_NAMES:
                self.examples.append((candidates[0], found))
        else:
            self.missing.append(candidates[0])
            return candidates[0]
        self._used.add(key)
        return found

    def offer(self, path: str) -> list[str]:
        """The paths of files that may be meant by one that is missing."""
        folder, _, name = path.rpartition("/")
        if self._anywhere:
            near = self._all_names.offer(name)
            places = [self._places[each] for each in near]
            return [
                f"{'…/' if place is None else place}{each}"
                for place, each in zip(places, near, strict=True)
            ]
        place = self._find_folder(folder)
        return [_join(place, each) for each in self._list(place).index.offer(name)]

    def iter_unused(self) -> Iterator[str]:
        """The images below the folder that no row named; raises `OSError`."""
        for path in iter_files(self._folder):
            if hash(path) not in self._used and split_suffix(path)[1]:
                yield path

    def _find_exact(self, candidates: list[str]) -> str:
        if self._anywhere:
            return self._search([take_basename(each) for each in candidates])
        for path in candidates:
            folder, _, name = path.rpartition("/")
            if name in self._list(folder).names:
                return path
        return ""

    def _find_respelled(self, candidates: list[str]) -> str:
        """The one file whose name differs in case or in a usual ending, if no other row has it."""
        for path in candidates:
            folder, _, name = path.rpartition("/")
            if self._anywhere:
                found = self._all_names.find(name)
                place = self._places.get(found)
                found = f"{place}{found}" if found and place is not None else ""
            else:
                place = self._find_folder(folder)
                listed = self._list(place)
                found = name if name in listed.names else listed.index.find(name)
                found = _join(place, found) if found else ""
            if found and hash(found) not in self._used:
                return found
        return ""

    # --- Folder by folder ---
    def _list(self, folder: str) -> _Folder:
        known = self._folders.get(folder)
        if known is None:
            if self._num_names > MOST_NAMES:
                self._folders.clear()
                self._num_names = 0
            known = self._folders[folder] = _Folder(self._read(folder, folders=False))
            self._num_names += len(known.names) + 1
        return known

    def _find_folder(self, folder: str) -> str:
        """The folder, or the one whose name differs only in case."""
        parent, _, name = folder.rpartition("/")
        if not folder or self._list(folder).names or (self._folder / folder).is_dir():
            return folder
        parent = self._find_folder(parent)
        near = [
            each for each in self._read(parent, folders=True) if each.casefold() == name.casefold()
        ]
        return _join(parent, near[0] if len(near) == 1 else name)

    def _read(self, folder: str, *, folders: bool) -> set[str]:
        try:
            with os.scandir(self._folder / folder) as entries:
                return {entry.name for entry in entries if _is_folder(entry) is folders}
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except OSError as error:
            raise UnsafePath(
                f"The file cannot be looked up ({error.strerror or error}). Fix that and import "
                "again."
            ) from error

    # --- Anywhere ---
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

    @property
    def _all_names(self) -> NameIndex:
        if self._all is None:
            self._all = NameIndex(self._places)
        return self._all

    def _list_places(self) -> dict[str, str | None]:
        """The folder of each file name; None if several folders have a file of that name."""
        folders: dict[str, str] = {}
        for path in iter_files(self._folder):
            self._check_stopped()
            name = take_basename(path)
            folder = path[: -len(name)]
            folder = folders.setdefault(folder, folder)
            self._places[name] = None if name in self._places else folder
        return self._places


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link that leads to itself, which is told where a row names it
        return False


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
