"""Files for the steps on collections: generated once from a seed, and imported as a dataset.

Their contents are pseudo-random, so they cannot be compressed and no two files are equal, unless a
set asks for equal ones.
"""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

# As many files in one folder as clinical archives have; 40,000 in one would be a special case.
FILES_IN_FOLDER = 400
COLUMNS = ("File", "Patient", "Sex", "Age", "View", "Findings")
FINDINGS = ("No Finding", "Effusion", "Nodule", "Effusion|Atelectasis", "Mass|Nodule|Effusion")
BLOCK = 1 << 20
MARK = "made.json"
DESCRIPTION = """\
[dataset]
slug = "{slug}"
title = "Benchmark, {count} files of {size} bytes"
area = "chest"
modalities = ["dx"]
license = "cc0-1.0"

[files]
folder = "files"
path = "{{File}}"

[[table]]
path = "findings.csv"

[image]
id = "{{File}}"
subject = "{{Patient}}"
sex = "{{Sex}}"
age = "{{Age}}"
view = "{{View}}"
modality = "dx"
width = "64"
height = "64"

[[labels]]
words = "{{Findings}}"
separator = "|"
"""


@dataclass(frozen=True, slots=True)
class FileSet:
    """``count`` files of ``size`` bytes each, as the dataset ``slug``.

    With ``contents`` only this number of them differ. The others are hard links to them, so that a
    million names do not need a million inodes.
    """

    slug: str
    count: int
    size: int
    contents: int = 0
    # What each file begins with, such as the header of a picture.
    head: str = ""

    @property
    def num_bytes(self) -> int:
        return self.count * self.size

    def part(self, percent: float) -> "FileSet":
        """A share of the set, at least one file."""
        return replace(self, count=max(1, int(self.count * percent / 100)))


def make_dataset(home: Path, files: FileSet) -> Path:
    """Make the set with its table and description in ``home``; returns the folder of the files.

    A finished set of an earlier run is used again.
    """
    mark = home / MARK
    wanted = json.dumps(asdict(files), sort_keys=True)
    if not (mark.exists() and mark.read_text(encoding="utf-8") == wanted):
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        _write_files(home / "files", files)
        _write_table(home / "findings.csv", files)
        text = DESCRIPTION.format(slug=files.slug, count=files.count, size=files.size)
        (home / "dataset.toml").write_text(text, encoding="utf-8")
        mark.write_text(wanted, encoding="utf-8")
    return home / "files"


def file_name(number: int) -> str:
    """The path of a numbered file below the folder."""
    return f"{number // FILES_IN_FOLDER:04}/{number:07}.raw"


def warm_up(folder: Path) -> None:
    """Read every file, so that the page cache has as many of them as possible."""
    buffer = bytearray(BLOCK)
    for path in folder.rglob("*.raw"):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def _write_files(folder: Path, files: FileSet) -> None:
    contents = files.contents or files.count
    random = Random(files.slug)  # noqa: S311 - not a secret
    for number in range(files.count):
        path = folder / file_name(number)
        if number % FILES_IN_FOLDER == 0:
            path.parent.mkdir(parents=True)
        if number < contents:
            _write_random(path, files, random)
        else:
            os.link(folder / file_name(number % contents), path)


def _write_random(path: Path, files: FileSet, random: Random) -> None:
    head = files.head.encode()
    with path.open("wb") as file:
        file.write(head)
        for start in range(len(head), files.size, BLOCK):
            file.write(random.randbytes(min(BLOCK, files.size - start)))


def _write_table(path: Path, files: FileSet) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_rows(files))


def _rows(files: FileSet) -> Iterator[tuple[object, ...]]:
    for number in range(files.count):
        findings = FINDINGS[number % len(FINDINGS)]
        yield (file_name(number), f"P{number // 3}", "FM"[number % 2], 20 + number % 70,
               ("PA", "AP")[number % 3 == 0], findings)  # fmt: skip
