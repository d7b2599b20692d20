"""The memory of a running site, by what its processes do."""

import contextlib
from collections import Counter
from pathlib import Path

import psutil  # type: ignore[import-untyped,import-not-found,unused-ignore]

ROLES = {"medagg.wsgi": "web", "-A medagg worker": "workers"}
POSTGRES = "PostgreSQL"


def measure_memory(up: int, postgres_data: Path) -> dict[str, int]:
    """Bytes of the processes below ``up`` and of PostgreSQL; shared pages are shared out (PSS)."""
    postmaster = int((postgres_data / "postmaster.pid").read_text().split()[0])
    taken: Counter[str] = Counter()
    for process in psutil.Process(up).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline())
            for words, role in ROLES.items():
                if words in command:
                    taken[role] += _resident(process)
    server = psutil.Process(postmaster)
    for process in [server, *server.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            taken[POSTGRES] += _resident(process)
    return dict(taken)


def _resident(process: psutil.Process) -> int:
    memory = process.memory_full_info()
    # Linux alone shares pages out.
    return int(getattr(memory, "pss", memory.rss))
