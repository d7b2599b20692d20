"""The files of this project as they would be committed, and what its modules import."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = ("vocab", "catalog", "collections_app")


@dataclass(frozen=True)
class Import:
    """``name`` is dotted and as long as the statement tells: ``catalog.models.Image``."""

    name: str
    line: int

    def is_of(self, module: str) -> bool:
        return f"{self.name}.".startswith(f"{module}.")


@dataclass(frozen=True)
class Module:
    """A Python module by its dotted name; ``path`` is relative to the repository."""

    name: str
    path: PurePosixPath
    tree: ast.Module
    imports: tuple[Import, ...]

    @property
    def package(self) -> str:
        """The app that it belongs to, or ``medagg``, or its own name."""
        return self.name.split(".")[0]

    @property
    def room(self) -> str:
        """Its place in the app: ``models``, ``views``, ``management`` …"""
        return (*self.name.split("."), "")[1]

    def place(self, line: int) -> str:
        return f"{self.path}:{line}"


def parse_module(path: PurePosixPath, source: str) -> Module:
    """``path`` relative to the repository, which gives the module its name."""
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(source, str(path))
    return Module(name, path, tree, tuple(_iter_imports(tree, package)))


def _iter_imports(tree: ast.Module, package: str) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield from (Import(f"{base}.{alias.name}", node.lineno) for alias in node.names)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])


@cache
def find_files() -> tuple[PurePosixPath, ...]:
    """Everything that .gitignore does not leave out, relative to the repository, sorted."""
    ignored = [".git", *_read_ignored()]
    return tuple(sorted(_walk(ROOT, ignored)))


def _read_ignored() -> list[str]:
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    return [line.strip("/") for line in lines if line and not line.startswith("#")]


def _walk(folder: Path, ignored: list[str]) -> Iterator[PurePosixPath]:
    for entry in folder.iterdir():
        if any(fnmatch(entry.name, pattern) for pattern in ignored) or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _walk(entry, ignored)
        else:
            yield PurePosixPath(entry.relative_to(ROOT).as_posix())


def read_text(path: PurePosixPath) -> str | None:
    """None where the file is not text."""
    data = (ROOT / path).read_bytes()
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


@cache
def find_modules() -> tuple[Module, ...]:
    """All modules but tests and migrations."""
    return tuple(
        parse_module(path, (ROOT / path).read_text(encoding="utf-8"))
        for path in find_files()
        if path.suffix == ".py" and not {"tests", "migrations"} & set(path.parts)
    )
