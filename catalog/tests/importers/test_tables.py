"""Reading tables: every format, and every way in which one can be broken."""

import csv
import gzip
import io
import json
import re
import tracemalloc
import zipfile
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest

from catalog.importers.rows import BadRow, SourceError
from catalog.importers.tables.delimited import MAX_CELL
from catalog.importers.tables.json_lines import MAX_COLUMNS
from catalog.importers.tables.lines import MAX_LINE, show
from catalog.importers.tables.reading import Table, TableFormat, TableRow

Row = tuple[int, list[str]]


def open_table(folder: Path, name: str, data: bytes | str, **how: object) -> Table:
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return Table(folder, name, TableFormat(**how))  # type: ignore[arg-type]


def read(table: Table) -> tuple[list[Row], list[BadRow]]:
    rows = list(table.rows())
    good = [(row.line, row.cells) for row in rows if isinstance(row, TableRow)]
    return good, [row for row in rows if isinstance(row, BadRow)]


def zip_of(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


PLAIN = "id,label\na,x\nb,y\n"
ROWS = [(2, ["a", "x"]), (3, ["b", "y"])]


# --- Formats and packings ---
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv", PLAIN),
        ("T.CSV", PLAIN),
        ("t.txt", PLAIN),
        ("t.csv", PLAIN.replace("\n", "\r\n")),
        ("t.csv", PLAIN.replace("\n", "\r")),
        ("t.csv", PLAIN.removesuffix("\n")),
        ("t.csv", "\ufeff" + PLAIN),
        ("t.csv", PLAIN.encode("utf-16")),
        ("t.tsv", PLAIN.replace(",", "\t")),
        # Without a time, so that every test process names these cases alike.
        ("t.csv.gz", gzip.compress(PLAIN.encode(), mtime=0)),
        ("t.csv", gzip.compress(PLAIN.encode(), mtime=0)),
        ("t.csv.zip", zip_of({"t.csv": PLAIN})),
        ("t.csv.zip", zip_of({"t.csv": PLAIN, "__MACOSX/._t.csv": "junk"})),
    ],
)
def test_a_table_is_read_however_it_is_written_and_packed(
    tmp_path: Path, name: str, data: bytes | str
) -> None:
    table = open_table(tmp_path, name, data)

    assert table.header == ("id", "label")
    assert read(table) == (ROWS, [])
    assert read(table) == (ROWS, [])  # and again


def test_json_lines_have_the_columns_of_all_their_objects(tmp_path: Path) -> None:
    lines = [{"id": 1, "label": "x"}, {"id": 2, "tags": ["a", "é"], "ok": True, "no": None}]
    text = "\n\n".join(json.dumps(line) for line in lines)

    table = open_table(tmp_path, "t.jsonl", text)

    assert table.header == ("id", "label", "tags", "ok", "no")
    assert read(table) == (
        [(1, ["1", "x", "", "", ""]), (3, ["2", "", '["a", "é"]', "True", ""])],
        [],
    )


def test_parquet_is_read_as_text_with_the_numbers_of_its_rows(tmp_path: Path) -> None:
    columns = {"id": ["a", "b"], "age": [57, None], "labels": [["x", "it's"], []], "s": [0.5, 1.0]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")

    table = Table(tmp_path, "t.parquet", TableFormat())

    assert table.num_rows == 2
    assert table.header == ("id", "age", "labels", "s")
    assert read(table)[0] == [
        (1, ["a", "57", '["x", "it\'s"]', "0.5"]),
        (2, ["b", "", "[]", "1.0"]),
    ]


def test_times_that_python_cannot_hold_are_read_all_the_same(tmp_path: Path) -> None:
    fine = pa.array([1, None], pa.timestamp("ns"))
    far = pa.array([4_000_000, 0], pa.date32())
    pq.write_table(pa.table({"fine": fine, "far": far}), tmp_path / "t.parquet")

    assert read(Table(tmp_path, "t.parquet", TableFormat()))[0] == [
        (1, ["1970-01-01 00:00:00.000000001", "12921-08-18"]),
        (2, ["", "1970-01-01"]),
    ]


def test_times_within_lists_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    columns = {"id": ["a"], "when": pa.array([[1]], pa.list_(pa.timestamp("ns")))}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")

    with pytest.raises(SourceError, match=r"t\.parquet cannot be read: .*timestamp"):
        read(Table(tmp_path, "t.parquet", TableFormat()))


# --- What tells who somebody is ---
JANE = {
    "name": "Jane Doe", "birthDate": "1955-08-20", "sex": "F",
    "kin": [{"pt name": "Joe", "tie": "son"}],
}  # fmt: skip
KEPT = '{"sex": "F", "kin": [{"tie": "son"}]}'


def test_what_identifies_is_dropped_from_objects_within_a_line(tmp_path: Path) -> None:
    line = {"id": 1, "patient": JANE, "who": {"name": "x"}, "findings": [{"name": "Mass"}], "e": {}}

    good, _ = read(open_table(tmp_path, "t.jsonl", json.dumps(line)))

    assert good == [(1, ["1", KEPT, "", '[{"name": "Mass"}]', "{}"])]


def test_what_identifies_is_dropped_from_structs_and_maps(tmp_path: Path) -> None:
    pairs = pa.array([[("Name", "Jane"), ("site", "A")]], pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table({"patient": [JANE], "more": pairs}), tmp_path / "t.parquet")

    good, _ = read(Table(tmp_path, "t.parquet", TableFormat()))

    assert json.loads(good[0][1][0]) == json.loads(KEPT)
    assert good[0][1][1] == '[["site", "A"]]'


def test_files_within_cells_of_parquet_are_not_read(tmp_path: Path) -> None:
    scan = b"\x89PNG" + b"Doe^John" * 500_000
    file = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "id": ["1"],
        "image": pa.array([{"bytes": scan, "path": "a.png"}], file),
        "only": pa.array([{"bytes": scan}], pa.struct([("bytes", pa.binary())])),
        "images": pa.array([[{"bytes": scan, "path": "b.png"}]], pa.list_(file)),
        "lists": pa.array([[scan]], pa.list_(pa.binary())),
        "map": pa.array([[("a", b"Doe")]], pa.map_(pa.string(), pa.binary())),
        "raw": [scan],
        "pdf": [b"%PDF-1.4 Doe"],
        "text.bytes": [b"as Impala writes it"],
        "last": [1],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = Table(tmp_path, "t.parquet", TableFormat())

    good, bad = read(table)

    assert bad == []
    assert [dict(zip(table.header, cells, strict=True)) for _, cells in good] == [
        dict.fromkeys(columns, "")
        | {
            "id": "1",
            "image": '{"path": "a.png"}',
            "images": '[{"path": "b.png"}]',
            "map": '[["a", ""]]',
            "text.bytes": "as Impala writes it",
            "last": "1",
        }
    ]
    assert table.columns_of_files == {"image", "images", "lists", "only", "raw", "pdf"}


def test_the_format_may_be_told_where_the_name_does_not(tmp_path: Path) -> None:
    assert read(open_table(tmp_path, "labels", PLAIN, format="csv"))[0] == ROWS
    with pytest.raises(SourceError, match=r"labels does not say .* csv, tsv, jsonl, parquet"):
        open_table(tmp_path, "labels", PLAIN)


def test_names_for_columns_have_to_be_names(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="names no column"):
        open_table(tmp_path, "t.csv", PLAIN, header=("", " "))


def test_delimiter_header_and_skipped_lines_can_be_described(tmp_path: Path) -> None:
    table = open_table(
        tmp_path, "t.csv", "made by x\n\na;b,c\n", delimiter=";", header=("id", "label"), skip=1
    )

    assert table.header == ("id", "label")
    assert read(table)[0] == [(3, ["a", "b,c"])]


def test_more_lines_may_be_skipped_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is empty"):
        open_table(tmp_path, "t.csv", PLAIN, skip=2_000_000_000)


def test_the_member_of_a_zip_with_several_files_has_to_be_told(tmp_path: Path) -> None:
    packed = zip_of({"a.csv": "x\n1\n", "b.csv": PLAIN})

    with pytest.raises(SourceError, match=r"2 files \(a.csv, b.csv\).* member ="):
        open_table(tmp_path, "t.zip", packed, format="csv")
    assert read(open_table(tmp_path, "t.zip", packed, format="csv", member="b.csv"))[0] == ROWS


# --- Encodings ---
def test_a_second_encoding_reads_the_lines_that_are_not_in_the_first(tmp_path: Path) -> None:
    data = b"id,label\n1,caf\xc3\xa9\n2,caf\xe9\n"

    good, bad = read(open_table(tmp_path, "t.csv", data, encoding=("utf-8", "latin-1")))

    assert (good, bad) == ([(2, ["1", "café"]), (3, ["2", "café"])], [])


def test_a_line_in_another_encoding_costs_that_line_alone(tmp_path: Path) -> None:
    good, bad = read(open_table(tmp_path, "t.csv", b"id,label\n1,x\n2,caf\xe9\n3,y\n"))

    assert good == [(2, ["1", "x"]), (4, ["3", "y"])]
    assert (bad[0].line, bad[0].value) == (3, "2,caf?")
    assert 'encoding = ["utf-8", "cp1252"] for Western Europe' in bad[0].reason
    assert "cp1251" in bad[0].reason


def test_a_header_in_another_encoding_stops(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"t\.csv, line 1: the header has bytes"):
        open_table(tmp_path, "t.csv", "id,größe\n1,2\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("header", "page"),
    [
        ("患者姓名,出生日期", "gb18030"),
        ("病歷號,姓名", "big5"),
        ("氏名,生年月日", "euc_jp"),
        ("환자명,생년월일", "cp949"),
        ("ФИО,Дата рождения", "cp1251"),
        ("ФИО,Дата рождения", "koi8_r"),
        ("Příjmení,Věk", "cp1250"),
        ("Hasta Adı,Doğum Tarihi", "cp1254"),
        ("Επώνυμο,Ημερομηνία γέννησης", "cp1253"),
        ("اسم المريض,تاريخ الميلاد", "cp1256"),
        ("ชื่อผู้ป่วย,วันเกิด", "cp874"),
        ("שם משפחה,תאריך לידה", "cp1255"),
        ("Prénom,sexe", "cp850"),
        ("Prénom,sexe", "mac_roman"),
    ],
)
def test_a_header_read_in_a_wrong_code_page_names_the_likely_one(
    tmp_path: Path, header: str, page: str
) -> None:
    data = f"id,{header}\n1,2,3\n".encode(page)

    with pytest.raises(SourceError) as refused:
        open_table(tmp_path, "t.csv", data, encoding="cp1252")

    assert f'encoding = ["{page}"]' in str(refused.value)
    table = open_table(tmp_path, "t.csv", data, encoding=page)
    assert table.header == ("id", *header.split(","))


@pytest.mark.parametrize(
    ("header", "page"),
    [
        ("Größe,Läsion,Prüfgröße,Übersicht,Körperteil", "cp1252"),
        ("diagnóstico,lesión,año,tamaño,região,coração,pulmão,exposição", "cp1252"),
        ("âge,côté,poids à l’entrée,décès,œdème,modalité,fenêtre", "cp1252"),
        ("年龄,性别,诊断,结节,部位,检查类型,肺癌,良恶性,直径", "gb18030"),
        ("年齡,性別,診斷,部位,影像類型", "big5"),
        ("年齢,性別,診断,部位,腫瘍,撮影条件", "cp932"),
        ("나이,성별,진단,부위,병변,크기", "cp949"),
        ("возраст,пол,диагноз,орган,размер,сторона,снимок,номер снимка", "cp1251"),
        ("věk,pohlaví,diagnóza,strana,velikost,snímek,wiek,płeć,rozpoznanie,życie", "cp1250"),
        ("yaş,cinsiyet,tanı,bölge,lezyon,görüntü,kitle,büyüklük", "cp1254"),
        ("ηλικία,φύλο,διάγνωση,όργανο,μέγεθος", "cp1253"),
        ("العمر,الجنس,التشخيص,العضو", "cp1256"),
        ("อายุ,เพศ,การวินิจฉัย,อวัยวะ", "cp874"),
        ("גיל,מין,אבחנה,איבר", "cp1255"),
    ],
)
def test_a_header_in_the_code_page_that_is_named_is_believed(
    tmp_path: Path, header: str, page: str
) -> None:
    data = f"{header}\n".encode(page)

    assert open_table(tmp_path, "t.csv", data, encoding=page).header == tuple(header.split(","))


# --- Rows ---
def test_empty_lines_are_skipped_but_counted_as_lines(tmp_path: Path) -> None:
    assert read(open_table(tmp_path, "t.csv", "\nid,label\n\na,x\n  \n,,,\n\nb,y\n\n"))[0] == [
        (4, ["a", "x"]),
        (8, ["b", "y"]),
    ]


@pytest.mark.parametrize(
    ("name", "rows", "good", "bads"),
    [
        ("t.tsv", 'i7\t"abc\ni8\tx\ni9\tdef"\n', [(3, ["i8", "x"])], 2),
        ("t.csv", '1.png,"abc\n2.png,x\n3.png,def"\n', [(3, ["2.png", "x"])], 2),
        ("t.csv", '1,"abc\n2,def"\n', [], 2),
        ("t.csv", '1,"abc\nlung, clear"\n', [(2, ["1", "abc\nlung, clear"])], 0),
        ("t.csv", '1,"abc\n2, 3, 4"\n', [(2, ["1", "abc\n2, 3, 4"])], 0),
        ("t.csv", 'a,"see\nb,c"\n', [(2, ["a", "see\nb,c"])], 0),
    ],
)
def test_lines_between_two_stray_quotes_are_rows(
    tmp_path: Path, name: str, rows: str, good: list[Row], bads: int
) -> None:
    end = "\t" if name == "t.tsv" else ","

    found, bad = read(open_table(tmp_path, name, f"id{end}caption\n{rows}z{end}z\n"))

    assert found[:-1] == good
    assert len(bad) == bads


def test_quotes_hold_delimiters_quotes_and_lines(tmp_path: Path) -> None:
    text = 'id,label\n1,"a, ""b"""\n2, "two\nlines"\n3,5" wide\n'

    good, bad = read(open_table(tmp_path, "t.csv", text))

    assert good == [(2, ["1", 'a, "b"']), (3, ["2", "two\nlines"]), (5, ["3", '5" wide'])]
    assert bad == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1", "The row has 1 cells, the header has 2"),
        ("1,a,b", "The row has 3 cells, the header has 2"),
        ("1,a\0b", "NUL characters"),
    ],
)
def test_a_row_that_does_not_fit_is_bad_with_its_line(
    tmp_path: Path, line: str, reason: str
) -> None:
    good, bad = read(open_table(tmp_path, "t.csv", f"id,label\na,x\n{line}\nb,y\n"))

    assert good == [(2, ["a", "x"]), (4, ["b", "y"])]
    assert [row.line for row in bad] == [3]
    assert reason in bad[0].reason
    assert "\0" not in bad[0].value


def test_empty_cells_beyond_the_last_column_do_not_matter(tmp_path: Path) -> None:
    assert read(open_table(tmp_path, "t.csv", "id,label\na,x,,\nb,y, \n")) == (ROWS, [])


@pytest.mark.parametrize("ending", ["", 'e,"5 ""\nf,6\n'])
def test_an_open_quote_costs_its_own_line_and_not_those_behind(tmp_path: Path, ending: str) -> None:
    lines = "".join(f"{number},x\n" for number in range(1000))

    good, bad = read(open_table(tmp_path, "t.csv", f'id,label\na,1\nb,"2\nc,3\n{lines}{ending}'))

    assert good[:2] == [(2, ["a", "1"]), (4, ["c", "3"])]
    assert len(good) >= 1002
    assert bad[0].line == 3
    assert "read as one row. Close the quote" in bad[0].reason


def test_an_open_quote_before_a_megabyte_of_text_costs_its_own_line(tmp_path: Path) -> None:
    lines = f"0,{'x' * 1000}\n" * (MAX_CELL // 500)

    good, bad = read(open_table(tmp_path, "t.csv", f'id,label\na,"1\n{lines}'))

    assert len(good) == MAX_CELL // 500
    assert [row.line for row in bad] == [2]


def test_a_large_cell_is_read_and_a_huge_one_is_bad(tmp_path: Path) -> None:
    text = f"id,label\n1,{'x' * 500_000}\n2,{'x' * (MAX_CELL + 1)}\n3,y\n"

    good, bad = read(open_table(tmp_path, "t.csv", text))

    assert [row[0] for row in good] == [2, 4]
    assert bad[0].line == 3
    assert len(bad[0].value) <= 200


def test_a_file_that_is_no_table_does_not_fill_the_memory(tmp_path: Path) -> None:
    packed = gzip.compress(b"id,label\n" + b"x" * (4 * MAX_LINE))

    tracemalloc.start()
    with pytest.raises(SourceError, match=r"t\.csv\.gz, line 2: a row does not end"):
        read(open_table(tmp_path, "t.csv.gz", packed))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 5 * MAX_LINE


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(tmp_path: Path) -> None:
    """The cells stay small: they are many, on lines that are held because a quote is open."""
    line = f'{"x" * 1_000_000}","\n'
    table = open_table(tmp_path, "t.csv", f'id\na,"\n{line * (2 * MAX_LINE // len(line))}')

    with pytest.raises(SourceError, match=r"t\.csv, line \d+: a row does not end"):
        read(table)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", ",".join(f"c{n}" for n in range(MAX_COLUMNS + 1))),
        ("t.jsonl", "\n".join(f'{{"c{n}": 1}}' for n in range(MAX_COLUMNS + 1))),
        ("t.jsonl", "\n".join(f'{{"{n}{"x" * (MAX_LINE // 5)}": 1}}' for n in range(6))),
    ],
)
def test_a_table_of_endless_columns_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(SourceError, match=rf"{re.escape(name)} has more than 10,000 columns"):
        open_table(tmp_path, name, text)


def test_a_table_of_many_columns_is_read(tmp_path: Path) -> None:
    table = open_table(tmp_path, "t.csv", ",".join(f"c{n}" for n in range(MAX_COLUMNS)))

    assert len(table.header) == MAX_COLUMNS


def test_what_is_shown_does_not_steer_a_terminal(tmp_path: Path) -> None:
    _, (bad,) = read(open_table(tmp_path, "t.csv", "id,x\n1,\x1b[31mred\x07\u202e\u00e9,\t\0\n"))

    assert bad.value == r"1,\x1b[31mred\x07\u202eé,\t\0"
    assert len(show("\x1b" * 500)) == 200
    with pytest.raises(SourceError, match=r"2 columns are named “a\\x1b”"):
        open_table(tmp_path, "t.csv", "a\x1b,a\x1b\n")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1]", "not a JSON object"),
        ('{"id": 3, "sex": "M", "sex": "F"}', "Its key “sex” stands twice"),
        (f'{{"id": {"[" * 600}{"]" * 600}}}', "nested objects"),
        ("{'id': 1}", "not JSON: "),
        ('{"id": "\\ud800"}', "encoding"),
        ('{"id": "\\u0000"}', "NUL"),
        ("[" * 100_000, "not JSON"),
        (f'{{"id": {"9" * 5000}}}', "not JSON"),
    ],
)
def test_a_line_that_is_no_object_is_bad(tmp_path: Path, line: str, reason: str) -> None:
    good, bad = read(open_table(tmp_path, "t.jsonl", f'{{"id": 1}}\n{line}\n{{"id": 2}}\n'))

    assert good == [(1, ["1"]), (3, ["2"])]
    assert bad[0].line == 2
    assert reason in bad[0].reason


# --- Tables that cannot be read at all ---
@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", "", "t.csv is empty"),
        ("t.csv", "\n\n", "t.csv is empty"),
        ("t.csv", ",,\n", "t.csv is empty"),
        ("t.csv", "id,a,a\n1,2,3\n", "2 columns are named “a”"),
        ("t.csv", "id,a, a \n1,2,3\n", "2 columns are named “a”"),
        ("t.csv.zip", b"PK\x03\x04 and no more", "cut short or damaged"),
        ("t.parquet", b"PAR1 and no more", "cannot be read as a Parquet file"),
        ("t.csv.gz", b"\x1f\x8b\x08", "cut short or damaged"),
    ],
)
def test_a_broken_table_is_refused_by_its_name(
    tmp_path: Path, name: str, data: bytes | str, message: str
) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        open_table(tmp_path, name, data)
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize("name", ["../t.csv", "/etc/passwd.csv", "gone.csv", "folder.csv"])
def test_nothing_but_a_file_below_the_folder_is_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "home" / "folder.csv").mkdir(parents=True)
    (tmp_path / "t.csv").write_text(PLAIN)

    with pytest.raises(SourceError):
        Table(tmp_path / "home", name, TableFormat())


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text(PLAIN)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "t.csv").symlink_to(tmp_path / "secret.csv")

    with pytest.raises(SourceError, match="leads out"):
        Table(tmp_path / "home", "t.csv", TableFormat())


def test_a_truncated_gzip_gives_its_rows_and_then_says_so(tmp_path: Path) -> None:
    rows = "".join(f"{number},{number * 7919 % 10007}\n" for number in range(50_000))
    packed = gzip.compress(("id,label\n" + rows).encode())
    table = open_table(tmp_path, "t.csv.gz", packed[: len(packed) // 2])

    found = table.rows()
    assert next(found) == (2, ["0", "0"])
    with pytest.raises(SourceError, match=r"t\.csv\.gz is cut short or damaged .* again"):
        list(found)


def test_a_damaged_gzip_is_found_out(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(PLAIN.encode() * 10))
    packed[-6] ^= 0xFF  # a bit of the checksum

    with pytest.raises(SourceError, match="cut short or damaged"):
        read(open_table(tmp_path, "t.csv.gz", bytes(packed)))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    packed = bytearray(zip_of({"t.csv": PLAIN}))
    for place in (6, packed.rfind(b"PK\x01\x02") + 8):
        packed[place] |= 1  # the flag that says so, in both headers

    with pytest.raises(SourceError, match=r"t\.csv\.zip cannot be read: .*encrypted"):
        open_table(tmp_path, "t.csv.zip", bytes(packed))


def test_memory_stays_flat_however_long_the_table(tmp_path: Path) -> None:
    line = "x" * 200
    packed = gzip.compress(("id,label\n" + f"1,{line}\n" * 100_000).encode())
    table = open_table(tmp_path, "t.csv.gz", packed)

    tracemalloc.start()
    assert sum(1 for _ in table.rows()) == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2_000_000


def test_what_python_writes_is_read_back(tmp_path: Path) -> None:
    wanted = [["1", 'a "quoted", word'], ["2", "two\r\nlines"], ["3", "ünïcode"], ["4", '""']]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id", "label"], *wanted])

    good, bad = read(open_table(tmp_path, "t.csv", text.getvalue()))

    assert [cells for _, cells in good] == wanted
    assert bad == []


# --- As tables are published ---
@pytest.mark.parametrize(
    ("row", "wanted"),
    [(b"1,\x93quoted\x94", "cp1252"), (b"1,caf\xe9", "cp1252"), (b"1,\x81\xe9", "latin-1")],
)
def test_the_encoding_that_is_named_is_the_one_that_the_bytes_are_in(
    tmp_path: Path, row: bytes, wanted: str
) -> None:
    _, bad = read(open_table(tmp_path, "t.csv", b"id,label\n" + row + b"\n"))

    assert f'encoding = ["utf-8", "{wanted}"]' in bad[0].reason


def test_latin_1_does_not_make_control_characters_of_quotes(tmp_path: Path) -> None:
    data = b"id,label\n1,\x93quoted\x94\n2,caf\xe9\n"

    for encoding in ("latin-1", ("utf-8", "latin-1")):
        good, bad = read(open_table(tmp_path, "t.csv", data, encoding=encoding))
        assert good == [(3, ["2", "café"])]
        assert 'encoding = ["utf-8", "cp1252"]' in bad[0].reason
    good, _ = read(open_table(tmp_path, "t.csv", data, encoding=("utf-8", "cp1252")))
    assert good[0] == (2, ["1", "“quoted”"])


@pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\r\n', "\ufeffSEP=;\n", "sep=;;\n"])
def test_a_first_line_that_names_the_delimiter_is_understood(tmp_path: Path, first: str) -> None:
    text = f"{first}id;label\na;x\nb;y,z\n"
    rows = [(3, ["a", "x"]), (4, ["b", "y,z"])]

    assert read(open_table(tmp_path, "t.csv", text))[0] == rows
    assert read(open_table(tmp_path, "t.csv", text.lstrip("\ufeff").encode("utf-16")))[0] == rows
    told = open_table(tmp_path, "t.csv", text, skip=2, header=("id", "label"))
    assert read(told)[0] == rows, "who counted that line counts it still"
    assert read(open_table(tmp_path, "t.csv", "sep=\nx\n"))[0] == [(2, ["x"])]


def test_a_header_with_fewer_names_than_cells_is_explained(tmp_path: Path) -> None:
    text = (
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
        "1.png,Atelectasis,225.5,547.0,86.25,79.5\n2.png,Mass,686.0,131.5,185.5,313.25\n"
    )

    with pytest.raises(SourceError) as refused:
        open_table(tmp_path, "t.csv", text)

    assert "t.csv: the header names 3 columns, but the rows have 6 cells." in str(refused.value)
    wanted = (
        'skip = 1 and header = ["Image Index", "Finding Label", "Bbox [x,y,w,h]", "…", "…", "…"]'
    )
    assert wanted in str(refused.value)
    names = ("id", "label", "x", "y", "w", "h")
    good, bad = read(open_table(tmp_path, "t.csv", text, skip=1, header=names))
    assert (len(good), bad) == (2, [])


@pytest.mark.parametrize(
    ("text", "how", "says"),
    [
        ("id;x\n1,5;2,5\n2,5;3,5\n", {}, 'delimiter = ";"'),
        ("a,b\n1,2,3\n4,5,6\n", {}, 'header = ["a", "b", "…"]'),
        ("a,b,c\n1,2\n3,4\n", {}, 'header = ["a", "b"]'),
        ("1,2,3\n4,5,6\n", {"header": ("a", "b")}, "the header in the description names 2 col"),
        ("\n# note\na,b\n1,2,3\n4,5,6\n", {"skip": 2}, "skip = 3 and"),
    ],
)
def test_rows_that_all_have_another_width_are_not_bad_one_by_one(
    tmp_path: Path, text: str, how: dict[str, object], says: str
) -> None:
    with pytest.raises(SourceError) as refused:
        open_table(tmp_path, "t.csv", text, **how)
    assert says in str(refused.value)


ARRAY = ' [\n{"id": "a", "label": "x"},\n\n {"id": "b", "n": [1]}, 7,\n{"id": "ß"}]\n'


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.json.gz"])
def test_an_array_of_objects_is_read_like_json_lines(tmp_path: Path, name: str) -> None:
    data = ARRAY.encode()
    table = open_table(tmp_path, name, gzip.compress(data) if name.endswith("gz") else data)

    good, bad = read(table)

    assert table.header == ("id", "label", "n")
    assert good == [(2, ["a", "x", ""]), (4, ["b", "", "[1]"]), (5, ["ß", "", ""])]
    assert (bad[0].line, bad[0].value) == (4, "7")
    lines = open_table(tmp_path, "t.json", '{"id": "a"}\n{"id": "b"}\n')
    assert read(lines)[0] == [(1, ["a"]), (2, ["b"])], "either form, by either name"


def test_an_object_of_an_array_has_each_key_once(tmp_path: Path) -> None:
    text = '[{"id": "a"}, {"id": "b", "sex": "M", "sex": "F"}]'
    good, (bad,) = read(open_table(tmp_path, "t.json", text))
    assert good == [(1, ["a"])]
    assert bad.reason == "Its key “sex” stands twice. Leave one out."


def test_an_array_has_encodings_as_other_tables_have(tmp_path: Path) -> None:
    data = b'[{"id": "caf\xe9"}, {"id": "b"}]'

    good, bad = read(open_table(tmp_path, "t.json", data))
    assert (good, bad[0].line) == ([(1, ["b"])], 1)
    assert "cp1252" in bad[0].reason
    told = open_table(tmp_path, "t.json", data, encoding=("utf-8", "latin-1"))
    assert read(told)[0] == [(1, ["café"]), (1, ["b"])]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"id": 1},\n{"id": 2}', "line 2: the JSON array has no end"),
        ('[{"id": 1},\n\n{"id": 2', r"line 3: what begins here is not JSON \(.*\): {\"id\": 2"),
        ("[{'id': 1}]", "line 1: what begins here is not JSON"),
        ("[1, 2]", "t.json has no JSON object"),
        ("[]", "t.json has no JSON object"),
        ('{\n"images": []\n}', "t.json has no JSON object"),
    ],
)
def test_an_array_that_is_broken_stops_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        open_table(tmp_path, "t.json", text)


def test_a_large_array_on_one_line_needs_little_memory(tmp_path: Path) -> None:
    text = "[" + ",".join(f'{{"id": {n}, "text": "{"x" * 400}"}}' for n in range(30_000)) + "]"
    (tmp_path / "t.json").write_text(text)
    size = len(text)
    del text

    tracemalloc.start()
    table = Table(tmp_path, "t.json", TableFormat())
    rows = sum(1 for _ in table.rows())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert rows == 30_000
    assert size > 12 << 20
    assert peak < 10 << 20


def test_whole_numbers_that_parquet_has_as_floats_are_written_whole(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": [1.0, 2.0, None, float("nan")],
            "half": [1.0, 2.5, None, 4.0],
            "large": [1e300, 1.0, 1.0, 1.0],
            "empty": pa.array([None] * 4, pa.float64()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")

    good, _ = read(Table(tmp_path, "t.parquet", TableFormat()))

    assert [cells for _, cells in good] == [
        ["1", "1.0", "1e+300", ""],
        ["2", "2.5", "1.0", ""],
        ["", "", "1.0", ""],
        ["", "4.0", "1.0", ""],
    ]
