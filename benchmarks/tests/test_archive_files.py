"""The generated datasets: complete, the same in each run, and importable."""

import zlib
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import call_command

from benchmarks.archive_files import FILES_IN_FOLDER, FileSet, file_name, make_dataset
from catalog.models import Image
from vocab.tests.shipped import save_shipped_vocabularies

SOME = FileSet("bench-some", count=FILES_IN_FOLDER + 3, size=70)


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.raw")}


def test_a_set_is_as_large_as_it_says_and_in_folders(tmp_path: Path) -> None:
    held = read_all(make_dataset(tmp_path / "set", SOME))

    assert len(held) == SOME.count
    assert sum(map(len, held.values())) == SOME.num_bytes
    assert len(set(held.values())) == SOME.count
    assert sorted(held) == [file_name(number) for number in range(SOME.count)]
    assert {name.split("/")[0] for name in held} == {"0000", "0001"}


def test_the_contents_do_not_compress(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", FileSet("bench-one", count=1, size=3_000_000))

    (data,) = read_all(folder).values()

    assert len(data) == 3_000_000
    assert len(zlib.compress(data)) >= len(data)


def test_the_same_set_has_the_same_bytes_wherever_it_is_made(tmp_path: Path) -> None:
    first, second = (read_all(make_dataset(tmp_path / name, SOME)) for name in "ab")

    assert first == second
    assert first != read_all(make_dataset(tmp_path / "c", FileSet("bench-else", SOME.count, 70)))


@pytest.mark.django_db
def test_the_command_imports_a_set_with_facts_and_labels(
    tmp_path: Path, settings: LazySettings
) -> None:
    settings.DATASET_ROOTS = [tmp_path]
    make_dataset(tmp_path / "set", SOME)
    save_shipped_vocabularies()

    call_command("import_dataset", str(tmp_path / "set"), verbosity=0)

    images = Image.objects.filter(dataset__slug=SOME.slug)
    assert images.count() == SOME.count
    assert not images.filter(sha256="").exists()
    assert images.exclude(image_labels=None).distinct().count() == SOME.count
    one = images.get(source_id=file_name(2))
    assert (one.sex, one.age_years, one.subject_id, one.size_bytes) == ("F", 22, "P0", 70)
