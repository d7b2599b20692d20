"""What a row may hold: checked one by one, and stored just as it came."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.importers.options import Listeners
from catalog.importers.rows import BadRow, ImageRow, LabelRow
from catalog.importers.store import store_images
from catalog.models import Image
from catalog.tests.factories import DatasetFactory
from catalog.tests.importers.import_rows import FACTS, row
from vocab.models import Label
from vocab.tests.factories import LabelFactory

pytestmark = pytest.mark.django_db


def import_one(bad: ImageRow) -> list[BadRow]:
    """The bad rows of an import of one row, and of one good row that comes through."""
    rejected: list[BadRow] = []
    store_images(
        dataset=DatasetFactory(),
        rows=[row("good"), bad],
        listeners=Listeners(on_reject=rejected.append),
    )
    assert Image.objects.filter(source_id="good").exists()
    assert Image.objects.count() == 2 - len(rejected)
    return rejected


NAN, INFINITE = float("nan"), float("inf")
BAD: list[tuple[str, dict[str, Any]]] = [
    ("source_id", {"source_id": ""}), ("source_id", {"source_id": "x" * 256}),
    ("source_id", {"source_id": "a\0b"}), ("source_id", {"source_id": "a\udcffb"}),
    ("sex", {"sex": "f"}), ("sex", {"sex": "male"}),
    ("age_years", {"age_years": -1}), ("age_years", {"age_years": 129.5}),
    ("age_years", {"age_years": NAN}), ("age_years", {"age_years": "60"}),
    ("width, height", {"width": 0}), ("width, height", {"height": -5}),
    ("width, height", {"width": 2**31}), ("width, height", {"width": 5.5}),
    ("size_bytes", {"size_bytes": -1}), ("size_bytes", {"size_bytes": 10**12 + 1}),
    ("subject_id", {"subject_id": "x" * 129}), ("subject_id", {"subject_id": "\ud800"}),
    ("remote_url", {"remote_url": "https://example.org/" + "x" * 1000}),
    ("remote_url", {"remote_url": "javascript:alert(1)"}), ("remote_url", {"remote_url": "/etc"}),
    ("remote_url", {"remote_url": "file:///etc/passwd"}),
    ("remote_url", {"remote_url": "s3://b/\0"}),
    ("file_path", {"file_path": "../x.png", "facts": FACTS}),
    ("file_path", {"file_path": "/etc/passwd", "facts": FACTS}),
    ("file_path", {"file_path": "a\0.png", "facts": FACTS}),
    ("file_path", {"file_path": "x/" * 600 + "y", "facts": FACTS}),
    ("file_path", {"file_path": "a.png"}),
    ("metadata", {"metadata": {"a": NAN}}), ("metadata", {"metadata": {"a": INFINITE}}),
    ("metadata", {"metadata": {"a": b"bytes"}}), ("metadata", {"metadata": {"a": "x\0y"}}),
    ("metadata", {"metadata": {"a\0": 1}}), ("metadata", {"metadata": {"a": "\udc80"}}),
    ("metadata", {"metadata": {"a": 10**5000}}), ("metadata", {"metadata": [1, 2]}),
    ("labels", {"labels": (LabelRow(""),)}), ("labels", {"labels": (LabelRow(" ?! "),)}),
    ("labels", {"labels": (LabelRow("x" * 121),)}), ("labels", {"labels": (LabelRow("a\0b"),)}),
    ("labels", {"labels": (LabelRow("a\ud800"),)}), ("labels", {"labels": (LabelRow("a\x1bb"),)}),
    ("labels", {"labels": (LabelRow("a", "maybe"),)}),
    ("labels", {"labels": (LabelRow("a", "positive", 1.01),)}),
    ("labels", {"labels": (LabelRow("a", "positive", NAN),)}),
]  # fmt: skip


@pytest.mark.parametrize(("column", "values"), BAD)
def test_a_bad_value_is_a_bad_row_that_names_its_column(
    column: str, values: dict[str, Any]
) -> None:
    given_values = {"source_id": "bad", "line": 7, **values}
    (bad,) = import_one(ImageRow(**given_values))
    assert (bad.line, bad.column) == (7, column)
    assert bad.reason.endswith((".", ". Check the encoding."))
    assert "\0" not in bad.value
    bad.value.encode()  # or it could not be written into a file


def test_metadata_that_holds_itself_is_a_bad_row() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    (bad,) = import_one(row("bad", metadata=endless))
    assert bad.column == "metadata"


GOOD: list[dict[str, Any]] = [
    {"source_id": "x" * 255}, {"sex": "O"}, {"age_years": 0}, {"age_years": 129}, {"width": 1},
    {"height": 2**31 - 1}, {"size_bytes": 0}, {"size_bytes": 10**12}, {"subject_id": "x" * 128},
    {"remote_url": "gs://bucket/*"}, {"remote_url": "ftp://host/file"}, {"metadata": {}},
    {"file_path": "a/ö b.png", "facts": FACTS}, {"metadata": {"deep": {"er": [1.5, None, True]}}},
]  # fmt: skip


@pytest.mark.parametrize("values", GOOD)
def test_the_utmost_good_values_are_stored(values: dict[str, Any]) -> None:
    given_values = {"source_id": "edge", **values}
    assert import_one(ImageRow(**given_values)) == []
    image = Image.objects.exclude(source_id="good").get()
    stored = {
        name: getattr(image, "metadata_json" if name == "metadata" else name)
        for name in values
        if name != "facts"
    }
    assert stored == {name: value for name, value in values.items() if name != "facts"}


STRANGE = [
    "\\N", "\\.", "a\tb", "a\nb", "a\r\nb", "back\\slash", "\\\\", "{a,b}", '"quoted"', "'", "%s",
    "\\u0000", "\\\\u0000", "\x01\x1f\x7f", "ünï \U0001f9a0 中", "\u2028", " padded ", "NULL",
    "\\x41",
]  # fmt: skip


@pytest.mark.parametrize("text", STRANGE)
def test_strange_text_arrives_as_it_was(text: str) -> None:
    """Everything that means something to COPY, to arrays or to JSON, in every text column."""
    shown = "".join(filter(str.isprintable, text))  # all that a label may hold
    rows = [
        row(
            text,
            subject_id=text,
            remote_url=f"s3://{text}",
            metadata={text: [text, {"in": text}]},
            labels=(LabelRow(f"word {shown}"), LabelRow(f"{shown} word 2")),
        )
    ]
    dataset = DatasetFactory()
    store_images(dataset=dataset, rows=rows)
    image = Image.objects.get()
    assert (image.source_id, image.subject_id, image.remote_url) == (text, text, f"s3://{text}")
    assert image.metadata_json == {text: [text, {"in": text}]}
    names = {f"word {shown}".strip(), f"{shown} word 2".strip()}
    assert set(Label.objects.values_list("name", flat=True)) <= names
    assert store_images(dataset=dataset, rows=rows).unchanged == 1


# What PostgreSQL can store; what it cannot is a bad row, see above.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
# JSON has numbers in decimal, in which a large float is an integer.
numbers = st.integers() | st.floats(-1e15, 1e15)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(st.lists(st.tuples(texts, st.dictionaries(texts, values, max_size=4)), min_size=1))
@settings(max_examples=20, deadline=None)
def test_any_text_and_metadata_come_back(said: list[tuple[str, dict[str, Any]]]) -> None:
    dataset = DatasetFactory()
    rows = [row(str(n), subject_id=text, metadata=data) for n, (text, data) in enumerate(said)]
    assert store_images(dataset=dataset, rows=rows).rejected == 0
    stored = dataset.images.values_list("source_id", "subject_id", "metadata_json")
    assert {int(n): (text, data) for n, text, data in stored} == dict(enumerate(said))
    assert store_images(dataset=dataset, rows=rows).unchanged == len(rows)


def test_a_label_that_means_several_is_a_bad_row() -> None:
    LabelFactory(code="mass-breast", name="Mass")
    LabelFactory(code="mass-lung", name="Mass")
    (bad,) = import_one(row("bad", labels=(LabelRow("mass"),)))
    assert (bad.column, bad.value) == ("labels", "mass")
    assert "mass-breast, mass-lung" in bad.reason
