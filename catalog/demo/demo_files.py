"""Files of the demo datasets: writes them, and reads their facts."""

import os
from pathlib import Path

from catalog.bulk.whole_file import replacing
from catalog.imaging.paths import FileFacts, open_beneath, read_facts


def write_if_changed(path: Path, data: bytes) -> None:
    """Write a file atomically; a file with the same content keeps its modification time."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(data)


def read_local_facts(root: Path, relative: str) -> FileFacts:
    """Size, SHA-256, CRC-32 and mtime of a file below ``root``; raises as ``open_beneath``."""
    with open_beneath(root, relative) as file:
        return read_facts(file)


def require_writable(folder: Path) -> Path:
    """The folder, created if needed; raises PermissionError if it cannot be written to."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"The folder {folder} cannot be written to.")
    return folder
