"""What a table names as an image, such as `.git/config`, is obeyed by no program once unpacked."""

import shutil
import subprocess
import zipfile
from io import StringIO
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import call_command

from catalog.models import Image
from catalog.tests.factories import make_searchable
from collections_app.storage import archive_file
from collections_app.tests.factories import make_ready

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]

TOML = """
[dataset]
slug = "gitty"
title = "Gitty"
[files]
folder = "."
[[table]]
path = "t.csv"
[image]
id = "{file}"
"""
CONFIG = """
[core]
repositoryformatversion = 0
bare = false
worktree = .
fsmonitor = "touch {pwned}; false"
"""
REPOSITORY = {"HEAD": "ref: refs/heads/main\n", "objects/x": "x", "refs/x": "x"}
OTHERS = (".envrc", ".vscode/tasks", "HEAD/1.txt")


def test_git_runs_nothing_in_an_unpacked_archive(settings: LazySettings, tmp_path: Path) -> None:
    home, pwned = Path(settings.DATASET_ROOTS[0], "gitty"), tmp_path / "pwned"
    files = REPOSITORY | {"config": CONFIG.format(pwned=pwned)}
    files = {f"{place}/{name}": text for place in ("a/.git", "b") for name, text in files.items()}
    for name, text in (files | dict.fromkeys(OTHERS, "x")).items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    (home / "t.csv").write_text("\n".join(("file", *files, *OTHERS)))
    (home / "dataset.toml").write_text(TOML)
    call_command("import_dataset", str(home), stdout=StringIO(), stderr=StringIO())
    assert Image.objects.exclude(file_path="").count() == len(files) + len(OTHERS)

    make_searchable()
    collection = make_ready()
    with zipfile.ZipFile(archive_file(collection.archive_path)) as archive:
        names = [name for name in archive.namelist() if "/images/" in name]
        archive.extractall(tmp_path / "unpacked")

    assert len(names) == len(files) + len(OTHERS)
    assert not [name for name in names if "/." in name or name.endswith("/HEAD")]
    assert [name for name in names if name.endswith("images/gitty/HEAD/1.txt")]
    if git := shutil.which("git"):
        for folder in (tmp_path / "unpacked").rglob("*/"):
            subprocess.run([git, "status"], cwd=folder, capture_output=True, check=False)
    assert not pwned.exists()
