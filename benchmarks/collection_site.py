"""A catalog of generated files in its own database, and the steps of its collections."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.archive_files import FileSet, make_dataset
from benchmarks.catalog_rows import tidy
from benchmarks.figures import Figures
from benchmarks.folder import Folder, say
from benchmarks.high_water import HighWater
from benchmarks.processes import ProgramFailedError, Run, run_measured
from medagg.runner.embedded import redis_url

WARM = FileSet("bench-warm", count=20, size=1_000)
# Not the queues of the sites that other steps start: their workers would take the messages.
QUEUES = 2
# More than any set needs: limits are not what is measured.
MOST_IMAGES = 2_000_000


@dataclass(frozen=True, slots=True)
class CollectionSite:
    """medagg on the database ``name``, without web server and worker; ``settings`` are its own."""

    folder: Folder
    name: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return self.folder.environment(self.name) | {
            "REDIS_URL": redis_url(self.folder.var, QUEUES),
            "COLLECTION_MAX_IMAGES": str(MOST_IMAGES),
            **self.settings,
        }

    def home(self, files: FileSet) -> Path:
        """The folder of a set's files, table and description."""
        return self.folder.var / f"site-{self.name}" / "datasets" / files.slug

    def manage(self, command: str, *arguments: str) -> Run:
        return self._run([sys.executable, "manage.py", command, *arguments], command)

    def run_step(self, step: str, *words: str) -> Figures:
        """The figures of a step of ``collection_steps``, with the peak of its process' memory."""
        command = [sys.executable, "-m", "benchmarks.build_inside", step, *words]
        with HighWater() as water:
            run = self._run(command, step)
        return read_figures(run.log) | {"peak_bytes": water.peak}

    def _run(self, command: Sequence[str], name: str) -> Run:
        log = self.folder.logs / f"{self.name}-{name}.log"
        return run_measured(command, environment=self.environment, log=log, watched=False)


def prepare_site(folder: Folder, name: str, sets: Sequence[FileSet]) -> CollectionSite:
    """A new database with the sets imported by the command; the files may be of an earlier run."""
    site = CollectionSite(folder, name)
    folder.make_database(name)
    for command in (["migrate"], ["load_vocab"], ["collectstatic", "--noinput"]):
        site.manage(*command)
    for files in (WARM, *sets):
        make_dataset(site.home(files), files)
        run = site.manage("import_dataset", str(site.home(files)))
        say(f"  {files.slug}: {files.count:,} files imported in {run.seconds:.0f} s")
    with folder.connect(name) as connection:
        tidy(connection)
    return site


def read_figures(log: str) -> Figures:
    """The JSON object in the last line of a log. Raises ProgramFailedError if it is none."""
    lines = [line for line in log.splitlines() if line.startswith("{")]
    if not lines:
        raise ProgramFailedError(f"no figures were written:\n{log[-2000:]}")
    figures: Figures = json.loads(lines[-1])
    return figures
