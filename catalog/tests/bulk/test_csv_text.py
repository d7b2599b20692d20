"""Rows as the database copies them become CSV that any reader understands."""

import csv
import io

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from catalog.bulk.copy_text import escape_field, unescape_field
from catalog.bulk.csv_text import csv_text, lines_to_csv, safe_cell

CELL = st.text("ab09=+-@,\"\\\t\n\r\x0b é'", max_size=5)
ROWS = st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=8)
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\x0b": "\\v"}


def as_copied(rows: list[list[str]]) -> bytes:
    """As PostgreSQL writes rows in its text format."""
    lines = ("\t".join("".join(_ESCAPES.get(c, c) for c in cell) for cell in row) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


@given(ROWS)
def test_lines_and_rows_give_the_same_table(rows: list[list[str]]) -> None:
    assert lines_to_csv(as_copied(rows)) == csv_text(rows)


@given(ROWS)
def test_a_reader_gets_each_cell_back_and_none_is_a_formula(rows: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(lines_to_csv(as_copied(rows)).decode(), newline="")))
    assert read == [[safe_cell(cell) for cell in row] for row in rows]
    assert not [cell for row in read for cell in row if cell[:1] in {*"=+-@\t\r"} - {""}]
    assert [[cell.removeprefix("'") for cell in row] for row in read] == rows, "nothing is lost"


@given(ROWS)
def test_an_escaped_field_comes_back(rows: list[list[str]]) -> None:
    fields = [line.split(b"\t") for line in as_copied(rows).split(b"\n")[:-1]]
    assert [[unescape_field(field).decode() for field in row] for row in fields] == rows


@given(CELL)
def test_a_field_that_is_escaped_here_is_one_field_and_comes_back(cell: str) -> None:
    field = escape_field(cell).encode()
    assert not set(field) & set(b"\t\n\r")
    assert unescape_field(field).decode() == cell


@pytest.mark.django_db
def test_the_database_escapes_as_these_tests_believe() -> None:
    text = "a\tb\nc\rd\\e\x0bf\x08g\x0ch"
    query = f"SELECT {', '.join(f'chr({ord(char)})' for char in text)}, 'ü', '\\N'"
    lines = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY ({query}) TO STDOUT", lines)
    fields = lines.getvalue().removesuffix(b"\n").split(b"\t")
    assert b"".join(map(unescape_field, fields[:-2])).decode() == text
    assert [unescape_field(field).decode() for field in fields[-2:]] == ["ü", "\\N"]
