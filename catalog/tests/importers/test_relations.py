"""Relations between datasets: none makes a dataset a part of itself."""

from pathlib import Path

import pytest

from catalog.importers import shipped
from catalog.importers.relations import add_missing_relations, read_relations
from catalog.models import DatasetRelation
from catalog.services import RelationCircle
from catalog.tests.factories import DatasetFactory


def write(folder: Path, *relations: tuple[str, str, str]) -> Path:
    path = folder / "datasets.toml"
    path.write_text(
        "".join(
            f'[[relation]]\ndataset = "{dataset}"\nkind = "{kind}"\nother = "{other}"\n'
            'source = "a paper"\n'
            for dataset, kind, other in relations
        )
    )
    return path


@pytest.mark.parametrize(
    ("relations", "message"),
    [
        ([("a", "part_of", "a")], "a is part of a."),
        ([("a", "part_of", "b"), ("b", "part_of", "a")], "b is part of a, which is part of b."),
        (
            [
                ("a", "newer_version_of", "b"),
                ("c", "newer_version_of", "a"),
                ("b", "newer_version_of", "c"),
            ],
            "b is newer version of c, which is newer version of a, which is newer version of b.",
        ),
    ],
)
def test_a_circle_is_refused_with_its_steps(
    tmp_path: Path, relations: list[tuple[str, str, str]], message: str
) -> None:
    with pytest.raises(RelationCircle) as refusal:
        read_relations(write(tmp_path, *relations))
    assert str(refusal.value) == (
        f"datasets.toml: This is a circle: {message} Remove one of these relations."
    )


def test_what_looks_like_a_circle_and_is_none(tmp_path: Path) -> None:
    mixed = [
        ("a", "part_of", "b"),
        ("b", "newer_version_of", "a"),
        ("a", "takes_images_from", "c"),
        ("c", "takes_images_from", "a"),
        ("a", "part_of", "c"),
        ("b", "part_of", "c"),
    ]
    assert len(read_relations(write(tmp_path, *mixed))) == len(mixed)


def test_the_shipped_relations_have_no_circle() -> None:
    assert len(read_relations(shipped.OPEN_DATASETS)) > 300


@pytest.mark.django_db
def test_a_relation_that_contradicts_a_curator_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a, b, c = (DatasetFactory(slug=slug) for slug in "abc")
    DatasetRelation.objects.create(dataset=b, kind="part_of", other=a, source="a curator")
    relations = read_relations(write(tmp_path, ("a", "part_of", "b"), ("c", "part_of", "b")))

    assert add_missing_relations(relations=relations) == 1
    assert [each.other for each in c.relations.all()] == [b]
    assert not a.relations.exists()
    assert "This is a circle: a is part of b, which is part of a." in caplog.text
