"""Putting generated or copied files into a dataset's folder, and learning their facts."""

import os
from pathlib import Path

from catalog.imaging.files import FileFacts, open_beneath, read_facts


def write_if_changed(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; an equal one keeps its modification time."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(data)
    partial.replace(path)


def read_local_facts(root: Path, relative: str) -> FileFacts:
    """Size, SHA-256, CRC-32 and mtime of a file below ``root``; raises as ``open_beneath``."""
    with open_beneath(root, relative) as file:
        return read_facts(file)


def require_writable(folder: Path) -> Path:
    """The folder, made if need be; a PermissionError says which one cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"The folder {folder} cannot be written.")
    return folder
