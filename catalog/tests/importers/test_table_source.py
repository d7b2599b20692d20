"""From a description and its tables to images; no database."""

import gzip
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest
from django.conf import settings

from catalog.importers.rows import BadRow, ImageRow, LabelRow, SourceError
from catalog.importers.tables.source import TableSource, open_dataset_toml
from catalog.management.unmatched import format_joins

HEAD = '[dataset]\nslug = "mine"\n[[table]]\npath = "t.csv"\n'
PLAIN = HEAD + '[image]\nid = "{id}"\n'


def open_source(folder: Path, description: str, table: str = "", **others: str) -> TableSource:
    if table:
        (folder / "t.csv").write_text(table)
    for name, text in others.items():
        (folder / f"{name}.csv").write_text(text)
    (folder / "dataset.toml").write_text(description)
    return open_dataset_toml(folder / "dataset.toml")


def read(source: TableSource) -> tuple[list[ImageRow], list[BadRow]]:
    rows = list(source.rows())
    bad = [row for row in rows if isinstance(row, BadRow)]
    return [row for row in rows if isinstance(row, ImageRow)], bad


def read_images(folder: Path, description: str, table: str, **others: str) -> list[ImageRow]:
    images, bad = read(open_source(folder, description, table, **others))
    assert bad == []
    return images


# --- Fields ---
def test_every_field_is_taken_from_its_column(tmp_path: Path) -> None:
    description = PLAIN + (
        'subject = "{who}"\nsex = "{sex}"\nage = "{age}"\nmodality = "{mod}"\narea = "chest"\n'
        'view = "{view}"\nwidth = "{w}"\nheight = "{h}"\nsize = "{bytes}"\n'
        'url = "https://example.org/{id}.png"\n[[labels]]\nwords = "{label}"\n'
    )
    table = (
        "id,who,sex,age,mod,view,w,h,bytes,label,site\n"
        'a,p1,Female,058Y,CR,PA,"2,682",1024.0,123456789012,Mass,hello\n'
    )

    (image,) = read_images(tmp_path, description, table)

    assert image == ImageRow(
        source_id="a",
        line=2,
        size_bytes=123456789012,
        remote_url="https://example.org/a.png",
        modality="CR",
        area="chest",
        view="PA",
        subject_id="p1",
        sex="F",
        age_years=58.0,
        width=2682,
        height=1024,
        metadata={"site": "hello", "view": "PA"},
        labels=(LabelRow("Mass"),),
    )


def test_what_cannot_be_read_is_unknown_and_stays_as_it_was_written(tmp_path: Path) -> None:
    description = PLAIN + (
        'subject = "{who}"\nsex = "{sex}"\nage = "{age}"\nwidth = "{w}"\nurl = "{url}"\n'
    )
    table = (
        "id,who,sex,age,w,url\n"
        "a,p1,0000,412,many,ftp://x\n"
        "b,,U,50+,0,https://x.org/a b\n"
        f"c,{'x' * 200},M ,-5,,\n"
    )

    first, second, third = read_images(tmp_path, description, table)

    assert (first.sex, first.age_years, first.width, first.remote_url) == ("", None, None, "")
    assert first.metadata == {"sex": "0000", "age": "412", "w": "many", "url": "ftp://x"}
    assert (second.subject_id, second.sex, second.age_years) == ("", "", 50.0)
    assert second.metadata == {"age": "50+", "w": "0", "url": "https://x.org/a b"}
    assert (third.subject_id, third.sex, third.age_years) == ("", "M", None)
    assert third.metadata == {"who": "x" * 200, "age": "-5"}


def test_a_size_beyond_what_the_catalog_stores_is_unknown_and_costs_no_row(tmp_path: Path) -> None:
    table = f"id,bytes\na,{10**12}\nb,{10**12 + 1}\n"

    first, second = read_images(tmp_path, PLAIN + 'size = "{bytes}"\n', table)

    assert (first.size_bytes, second.size_bytes) == (10**12, None)
    assert second.metadata == {"bytes": "1000000000001"}


def test_an_age_comes_from_dates_where_none_is_given(tmp_path: Path) -> None:
    description = PLAIN + 'age = "{age}"\nborn = "{BirthDate}"\nstudied = "{date}"\n'
    table = (
        "id,age,BirthDate,date\na,57,1930,20140915\nb,,1930.0,20140915\nc,,2030,20140915\n"
        "d,,,20140915\ne,412,1930,2014\n"
    )

    images = read_images(tmp_path, description, table)

    assert [image.age_years for image in images] == [57.0, 84.0, None, None, 84.0]
    assert all("BirthDate" not in image.metadata for image in images)
    assert images[0].metadata == {"date": "20140915"}
    assert images[4].metadata == {"age": "412", "date": "2014"}


def test_codes_for_sex_can_be_described(tmp_path: Path) -> None:
    description = PLAIN + 'sex = "{male}"\nsex_words = { True = "M", False = "F", 9 = "" }\n'

    images = read_images(tmp_path, description, "id,male\na,TRUE\nb,false\nc,9.0\nd,2\n")

    assert [image.sex for image in images] == ["M", "F", "", ""]
    assert [image.metadata for image in images] == [{}, {}, {}, {"male": "2"}]


def test_facts_that_may_mean_two_things_stop_with_what_to_write(tmp_path: Path) -> None:
    sexes, ages = PLAIN + 'sex = "{x}"\n', PLAIN + 'age = "{x}"\n'

    with pytest.raises(SourceError, match="H and M, and none is F"):
        read_images(tmp_path, sexes, "id,x\na,M\nb,H\n")
    told = sexes + 'sex_words = { H = "M", M = "F" }\n'
    assert [i.sex for i in read_images(tmp_path, told, "id,x\na,M\nb,H\n")] == ["F", "M"]
    for clear in ("F", "mujer", "W"):
        assert read_images(tmp_path, sexes, f"id,x\na,M\nb,H\nc,{clear}\n")[0].sex == "M"

    with pytest.raises(SourceError, match="45M"):
        read_images(tmp_path, ages, "id,x\na,45M\nb,3 F\n")
    assert read_images(tmp_path, ages, "id,x\na,6M\nb,30\n")[0].age_years == 0.5


# --- Metadata ---
def test_other_columns_become_metadata_but_what_identifies_never_does(tmp_path: Path) -> None:
    table = (
        ",id,Patient's Name,Birth Date,site,empty,missing\n0,a,Doe^Jane,19550820, as it is ,,nan\n"
    )

    (image,) = read_images(tmp_path, PLAIN, table)

    assert image.metadata == {"site": "as it is "}


@pytest.mark.parametrize("name", ["Name", "names", "Pt Name", "name_last", "NHS Number"])
def test_a_name_is_not_kept_where_nothing_says_that_it_is_a_things(
    tmp_path: Path, name: str
) -> None:
    table = f"id,{name},file name,finding name\na,Jane Doe,a.png,Mass\n"

    (image,) = read_images(tmp_path, PLAIN, table)

    assert image.metadata == {"file name": "a.png", "finding name": "Mass"}


@pytest.mark.parametrize(
    ("description", "metadata"),
    [
        (PLAIN.replace("{id}", "{Name}"), {"id": "a"}),
        (PLAIN.replace("{id}", "{Name|stem}"), {"id": "a", "Name": "x.png"}),
        (PLAIN + '[metadata]\nonly = ["Name"]\n', {"Name": "x.png"}),
        (PLAIN + '[files]\npath = "{Name|lower}"\n', {"Name": "x.png"}),
        (PLAIN + '[metadata]\nadd = { file = "{Name}" }\n', {"Name": "x.png", "file": "x.png"}),
    ],
)
def test_a_name_that_the_description_uses_is_a_things(
    tmp_path: Path, description: str, metadata: dict[str, str]
) -> None:
    (image,) = read_images(tmp_path, description, "id,Name\na,x.png\n")

    assert image.metadata == metadata


def test_metadata_can_be_chosen_and_given_kinds(tmp_path: Path) -> None:
    table = "id,n,l,x,y\na/b,1024.0,\"['u', 'v']\",secret,1\na/c,12px,[],secret,2\n"
    kinds = '[metadata]\nnumbers = ["n"]\nlists = ["l"]\nadd = { part = "{id|part 1}" }\n'

    first, second = read_images(tmp_path, f'{PLAIN}{kinds}leave_out = ["x"]\n', table)
    only = read_images(tmp_path, f'{PLAIN}{kinds}only = ["n"]\n', table)

    assert first.metadata == {"n": 1024, "l": ["u", "v"], "y": "1", "part": "a"}
    assert second.metadata == {"n": "12px", "y": "2", "part": "a"}
    assert only[0].metadata == {"n": 1024, "part": "a"}


@pytest.mark.parametrize("chosen", ['only = ["z"]', 'drop = ["mod", "Mass"]'])
def test_a_dry_run_says_what_is_given_out_beside_what_metadata_chooses(
    tmp_path: Path, chosen: str
) -> None:
    description = (
        f'{PLAIN}modality = "{{mod}}"\n[[labels]]\ncolumns = ["Mass"]\n'
        f'[many]\ngather = "boxes"\ncolumns = ["note"]\n[metadata]\n{chosen}\n'
    )
    source = open_source(tmp_path, description, "id,mod,Mass,note,z\na,ward of Roe,1,by Roe,x\n")
    (image,), _ = read(source)

    assert image.metadata["boxes"] == [{"note": "by Roe"}]
    assert dict(source.describe_columns())["t.csv"] == {
        "id": "used, such as “a”",
        "mod": "used, and kept where no vocabulary has the word, such as “ward of Roe”",
        "Mass": "used, such as “1”",
        "note": "used, such as “by Roe”",
        "z": "kept, such as “x”",
    }


def test_what_many_gathers_cannot_be_dropped(tmp_path: Path) -> None:
    many = '[many]\ngather = "boxes"\ncolumns = ["x"]\n[metadata]\ndrop = ["x"]\n'
    with pytest.raises(SourceError, match="“x” is both gathered and dropped"):
        open_source(tmp_path, PLAIN + many, "id,x\na,1\n")


@pytest.mark.parametrize("key", ["leave_out", "keep", "drop", "only", "numbers", "lists"])
def test_a_misspelt_column_is_found_before_anything_is_read(tmp_path: Path, key: str) -> None:
    with pytest.raises(SourceError, match=r"t.csv has no column “Notes”. Did you mean “note”\?"):
        open_source(tmp_path, f'{PLAIN}[metadata]\n{key} = ["Notes"]', "id,note\na,b\n")


# --- Labels ---
def labels_of(folder: Path, labels: str, table: str) -> list[tuple[LabelRow, ...]]:
    return [row.labels for row in read_images(folder, f"{PLAIN}[[labels]]\n{labels}", table)]


def test_labels_in_one_cell_are_parted(tmp_path: Path) -> None:
    labels = 'words = "{l}"\nseparator = "|"\nignore = ["unchanged"]\nrename = { PTX = "Pneumo" }'
    table = "id,l\na,Mass|Effusion\nb,No Finding\nc,\nd,nan\ne,Mass| Mass ||PTX|UNCHANGED\n"

    assert labels_of(tmp_path, labels, table) == [
        (LabelRow("Mass"), LabelRow("Effusion")),
        (LabelRow("No Finding"),),
        (),
        (),
        (LabelRow("Mass"), LabelRow("Pneumo")),
    ]


def test_labels_can_be_a_list_as_python_prints_it(tmp_path: Path) -> None:
    table = 'id,l\na,"[\'mass\', \' chilaiditi sign\']"\nb,"[""Barrett\'s""]"\nc,[]\nd,nan\n'

    assert labels_of(tmp_path, 'words = "{l}"\nlist = true', table) == [
        (LabelRow("mass"), LabelRow("chilaiditi sign")),
        (LabelRow("Barrett's"),),
        (),
        (),
    ]


def test_labels_can_be_columns_with_values_for_doubt(tmp_path: Path) -> None:
    table = "id,Mass,Edema,Other\na,1.0,0.0,-1.0\nb,,1,\nc,YES,no,maybe\n"

    assert labels_of(tmp_path, 'columns = ["Mass", "Edema", "Other"]', table) == [
        (LabelRow("Mass"), LabelRow("Edema", "negative"), LabelRow("Other", "uncertain")),
        (LabelRow("Edema"),),
        (LabelRow("Mass"), LabelRow("Edema", "negative"), LabelRow("Other", "uncertain")),
    ]


def test_columns_can_stand_for_other_words_and_any_value_for_a_finding(tmp_path: Path) -> None:
    labels = 'columns = { rle = "Pneumothorax" }\nnegative = ["-1"]\nothers = "positive"'

    assert labels_of(tmp_path, labels, f"id,rle\na,-1\nb,{'12 3 ' * 900}\nc,\n") == [
        (LabelRow("Pneumothorax", "negative"),),
        (LabelRow("Pneumothorax"),),
        (),
    ]


def test_labels_can_have_a_confidence_and_be_all_uncertain(tmp_path: Path) -> None:
    labels = 'words = "{l}"\nconfidence = "{p}"\nfinding = "uncertain"'

    assert labels_of(tmp_path, labels, "id,l,p\na,Mass,0.5\nb,Mass,85%\nc,Mass,high\n") == [
        (LabelRow("Mass", "uncertain", 0.5),),
        (LabelRow("Mass", "uncertain", 0.85),),
        (LabelRow("Mass", "uncertain"),),
    ]


def test_several_notations_come_together_with_the_stronger_finding(tmp_path: Path) -> None:
    labels = 'words = "{l}"\n[[labels]]\ncolumns = ["Mass", "Edema"]\n[[labels]]\nwords = "chest"'

    assert labels_of(tmp_path, labels, "id,l,Mass,Edema\na,Mass,0,-1\n") == [
        (LabelRow("Mass"), LabelRow("Edema", "uncertain"), LabelRow("chest"))
    ]


@pytest.mark.parametrize(
    ("labels", "cell", "reason"),
    [
        ('words = "{l}"\nlist = true', "['a", "The list has no end"),
        ('columns = ["l"]', "perhaps", "neither positive, uncertain nor negative"),
        ('words = "{l}"', "x" * 121, "longer than 120 characters"),
    ],
)
def test_labels_that_cannot_be_read_make_the_row_bad(
    tmp_path: Path, labels: str, cell: str, reason: str
) -> None:
    source = open_source(tmp_path, f"{PLAIN}[[labels]]\n{labels}", f"id,l\na,{cell}\nb,\n")

    images, (bad,) = read(source)

    assert [image.source_id for image in images] == ["b"]
    assert (bad.line, bad.column, bad.value, bad.source_id) == (2, "l", cell, "a")
    assert reason in bad.reason


# --- Ids ---
def test_a_row_without_a_usable_id_is_bad(tmp_path: Path) -> None:
    table = f'id,x\n,1\nnan,2\n{"x" * 256},3\n"a\tb",4\n , \nok\u00a0id,5\n'

    images, bad = read(open_source(tmp_path, PLAIN, table))

    assert [image.source_id for image in images] == ["ok\u00a0id"]
    assert [(row.line, row.column) for row in bad] == [(2, "id"), (3, "id"), (4, "id"), (5, "id")]
    assert [row.reason.split(".")[0] for row in bad] == [
        "The image has no id",
        "The image has no id",
        "The id is longer than 255 characters",
        "The id has control characters",
    ]


def test_a_duplicate_id_is_left_to_the_pipeline(tmp_path: Path) -> None:
    assert len(read_images(tmp_path, PLAIN, "id\na\na\n")) == 2


# --- Files ---
def with_files(folder: Path, files: str, table: str, *names: str) -> TableSource:
    home = folder / "images"
    for name in names:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(b"x")
    return open_source(folder, f'{PLAIN}[files]\nfolder = "images"\n{files}', table)


def test_without_a_folder_there_are_no_files(tmp_path: Path) -> None:
    source = open_source(tmp_path, PLAIN + '[files]\npath = "{id}.png"', "id\na\n")

    assert "local_path" not in source.entry
    assert read(source)[0][0].file_path == ""


def test_a_file_is_where_its_template_says(tmp_path: Path) -> None:
    source = with_files(tmp_path, 'path = "{id|lower}.png"', "id\nA\n", "a.png")

    assert read(source)[0][0].file_path == "a.png"
    assert source.entry["local_path"] == str(tmp_path / "images")


def test_a_folder_in_the_first_dataset_folder_is_named_from_there() -> None:
    home = Path(settings.DATASET_ROOTS[0])
    (home / "mine").mkdir()

    source = open_source(home / "mine", PLAIN + '[files]\nfolder = "."', "id\na\n")

    assert source.entry["local_path"] == "mine"


def test_the_ending_of_a_file_is_found(tmp_path: Path) -> None:
    source = with_files(
        tmp_path,
        'extensions = [".dcm", ".png"]',
        "id\na\nb\nc.png\nd\n",
        *("a.png", "b.dcm", "b.png", "c.png"),
    )

    assert [image.file_path for image in read(source)[0]] == ["a.png", "b.dcm", "c.png", "d.dcm"]


def test_a_single_ending_is_added(tmp_path: Path) -> None:
    source = with_files(tmp_path, 'extensions = [".png"]', "id\na\nb.png\n", "a.png", "b.png")

    assert [image.file_path for image in read(source)[0]] == ["a.png", "b.png"]


@pytest.mark.parametrize("more", ["", "anywhere = true\n"])
def test_a_name_too_long_for_a_file_makes_the_row_bad(tmp_path: Path, more: str) -> None:
    files = f'extensions = [".png", ".dcm"]\n{more}'

    images, (bad,) = read(with_files(tmp_path, files, f"id\n{'x' * 252}\na\n", "a.dcm"))

    assert [image.file_path for image in images] == ["a.dcm"]
    assert (bad.line, bad.column) == (2, "id")
    assert "has a part over 255 bytes; shorten that name" in bad.reason


def test_a_file_that_cannot_be_looked_for_makes_the_row_bad(tmp_path: Path) -> None:
    """Here its whole path is longer than the system takes."""
    deep = tmp_path / "images" / "/".join(["d" * 240] * 15)
    deep.mkdir(parents=True)
    (deep / "a.png").touch()
    files = f'[files]\nfolder = "{deep}"\npath = "{{path}}"\nextensions = [".png", ".dcm"]\n'
    long = "/".join(["x" * 240] * 3)

    images, (bad,) = read(open_source(tmp_path, PLAIN + files, f"id,path\n1,{long}\n2,a\n"))

    assert [image.file_path for image in images] == ["a.png"]
    assert (bad.line, bad.column, bad.source_id) == (2, "path", "1")
    assert "cannot be looked up (File name too long)" in bad.reason


def test_a_file_is_found_anywhere_below_the_folder(tmp_path: Path) -> None:
    source = with_files(
        tmp_path,
        'extensions = [".png"]\nanywhere = true',
        "id\na\nb\ntwice\ngone\n",
        *("one/a.png", "two/deep/b.png", "one/twice.png", "two/twice.png"),
    )

    images, (bad,) = read(source)

    assert [image.file_path for image in images] == ["one/a.png", "two/deep/b.png", "gone.png"]
    assert bad.source_id == "twice"
    assert "Several folders have a file of this name" in bad.reason


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "C:/x", r"a\b", "a/../../b"])
def test_a_path_that_leads_elsewhere_makes_the_row_bad(tmp_path: Path, path: str) -> None:
    images, (bad,) = read(with_files(tmp_path, "", f"id\n{path}\nb\n", "b"))

    assert [image.file_path for image in images] == ["b"]
    assert (bad.line, bad.value, bad.source_id) == (2, path, path)
    assert bad.column == "id"


def test_a_folder_that_is_not_there_stops(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="images does not exist"):
        open_source(tmp_path, PLAIN + '[files]\nfolder = "images"', "id\na\n")


def test_tables_and_files_can_lie_elsewhere(tmp_path: Path) -> None:
    for name in ("description", "tables", "files"):
        (tmp_path / name).mkdir()
    (tmp_path / "tables" / "t.csv").write_text("id\na\n")
    (tmp_path / "description" / "dataset.toml").write_text(PLAIN)

    source = open_dataset_toml(
        tmp_path / "description" / "dataset.toml",
        tables=tmp_path / "tables",
        files=tmp_path / "files",
    )

    assert source.entry["local_path"] == str(tmp_path / "files")
    assert read(source)[0][0].file_path == "a"


# --- Tables ---
def test_of_alternative_names_the_first_counts_and_of_a_pattern_all(tmp_path: Path) -> None:
    description = PLAIN.replace('"t.csv"', '["new.csv", "part*.csv"]')

    images = read_images(tmp_path, description, "", part2="x,id\n1,b\n", part1="id\na\n")

    assert [(image.source_id, image.metadata) for image in images] == [("a", {}), ("b", {"x": "1"})]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("**.csv", r"“\*\*\.csv” is not a pattern for a table's path .* \*\*/\*\.csv"),
        ("x" * 300, "cannot be looked up in .*File name too long"),
    ],
)
def test_an_invalid_pattern_is_refused(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path, PLAIN.replace("t.csv", pattern), "id\na\n")


def test_of_several_tables_a_bad_row_names_its_own(tmp_path: Path) -> None:
    description = PLAIN.replace("[image]", '[[table]]\npath = "u.csv"\n[image]')

    _, bad = read(open_source(tmp_path, description, "id,x\na\n", u="id,x\n,1\n"))

    assert [row.reason.split(":")[0] for row in bad] == ["t.csv", "u.csv"]


def test_a_table_may_be_optional_and_else_is_missed(tmp_path: Path) -> None:
    optional = PLAIN.replace("[image]", '[[table]]\npath = "u.csv"\noptional = true\n[image]')

    assert len(read_images(tmp_path, optional, "id\na\n")) == 1
    with pytest.raises(SourceError, match=r"There is no u\.csv in"):
        open_source(tmp_path, optional.replace("optional = true", ""), "id\na\n")


@pytest.mark.parametrize(
    ("table", "hint"),
    [
        ("ID,x\n1,2\n", "Did you mean “ID”"),
        ("id;x\n1;2\n", r'delimiter = ";"'),
        ("1,2\n3,4\n", r"If these are no names, .* header ="),
        ("i\x1bd,x\n1,2\n", r"It has “i\\x1bd”"),
    ],
)
def test_a_missing_column_is_refused_with_a_similar_name(
    tmp_path: Path, table: str, hint: str
) -> None:
    with pytest.raises(SourceError, match=rf"t\.csv has no column “id”.*{hint}"):
        open_source(tmp_path, PLAIN, table)


def test_a_row_group_of_many_files_is_read_and_the_files_are_said_to_be_left_out(
    tmp_path: Path,
) -> None:
    files = [{"bytes": b"\x89PNG" + bytes(70_000), "path": f"{n}.png"} for n in range(2_000)]
    table = pa.table({"id": [str(n) for n in range(2_000)], "image": files})
    pq.write_table(table, tmp_path / "t.parquet", data_page_size=1 << 28, use_dictionary=False)

    source = open_source(tmp_path, PLAIN.replace("t.csv", "t.parquet"), "")
    images, bad = read(source)

    assert (len(images), bad) == (2_000, [])
    assert images[7].metadata == {"image": '{"path": "7.png"}'}
    assert source.notes[0].startswith("bytes of files in image were left out: write the files into")


def test_a_parquet_table_says_how_many_rows_it_has(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a", "b"], "age": [57, None]}), tmp_path / "t.parquet")
    description = PLAIN.replace("t.csv", "t.parquet") + 'age = "{age}"\n'

    source = open_source(tmp_path, description)

    assert source.num_rows == 2
    assert [image.age_years for image in read(source)[0]] == [57.0, None]


def test_a_damaged_table_stops_in_the_middle(tmp_path: Path) -> None:
    packed = gzip.compress(b"id\n" + b"\n".join(b"%d" % (n * 7919) for n in range(50_000)))
    (tmp_path / "t.csv").write_bytes(packed[:-20])

    with pytest.raises(SourceError, match=r"t\.csv is cut short"):
        read(open_source(tmp_path, PLAIN))


# --- Joined tables ---
JOINED = PLAIN + 'age = "{age}"\nview = "{view}"\n'


def join(key: str = "{id}", to: str = "{id}", more: str = "") -> str:
    return f'[[join]]\npath = "u.csv"\nkey = "{key}"\nto = "{to}"\n{more}\n'


def test_columns_come_from_a_second_table(tmp_path: Path) -> None:
    images = read_images(
        tmp_path,
        JOINED + join(key="{name|stem}"),
        "id,view\na,PA\nb,AP\n",
        u="name,age\na.png,57\na.png,58\nc.png,59\n,60\n",
    )

    assert [(image.age_years, image.metadata) for image in images] == [
        (57.0, {"view": "PA", "name": "a.png"}),
        (None, {"view": "AP"}),
    ]


def test_an_optional_join_that_is_missing_leaves_its_columns_empty(tmp_path: Path) -> None:
    (image,) = read_images(tmp_path, JOINED + join(more="optional = true"), "id,view\na,PA\n")

    assert (image.age_years, image.metadata) == (None, {"view": "PA"})


def test_columns_of_both_tables_may_not_have_one_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="both have a column “view”"):
        open_source(tmp_path, JOINED + join(), "id,view\na,PA\n", u="id,age,view\na,57,PA\n")


def test_a_bad_row_of_a_joined_table_is_reported(tmp_path: Path) -> None:
    source = open_source(tmp_path, JOINED + join(), "id,view\na,PA\n", u="id,age\na\na,57\n")

    images, (bad,) = read(source)

    assert images[0].age_years == 57.0
    assert bad.line == 2
    assert bad.reason.startswith("u.csv: The row has 1 cells")


# --- Several rows an image ---
MANY = PLAIN + (
    'sex = "{sex}"\n[[labels]]\nwords = "{label}"\n'
    '[metadata]\nnumbers = ["x", "y"]\n'
    '[many]\ngather = "boxes"\ncolumns = ["label", "x", "y"]\nunless = "x"\n'
)
ROWS = "id,label,x,y,sex\n"


@pytest.mark.parametrize("adjacent", ["", "adjacent = true\n"])
def test_rows_of_an_image_come_together(tmp_path: Path, adjacent: str) -> None:
    table = ROWS + "a,Mass,1.0,2.5,\na,Mass,3,4,F\na,Edema,,,M\nb,No finding,,,\n"

    first, second = read_images(tmp_path, MANY + adjacent, table)

    assert (first.source_id, first.line, first.sex) == ("a", 2, "")
    assert [(each.line, each.column, each.value) for each in first.conflicts] == [(4, "sex", "M")]
    assert "Line 3 says “F” of the same image a, so its sex is unknown" in first.conflicts[0].reason
    assert first.labels == (LabelRow("Mass"), LabelRow("Edema"))
    assert first.metadata == {
        "boxes": [{"label": "Mass", "x": 1, "y": 2.5}, {"label": "Mass", "x": 3, "y": 4}]
    }
    assert (second.source_id, second.line, second.metadata) == ("b", 5, {})


def test_a_column_in_which_the_rows_of_an_image_differ_keeps_all_values(tmp_path: Path) -> None:
    table = "id,label,sex,x,y,reader,site\na,Mass,,,,R1,same\na,Mass,,,,R2,same\na,Mass,,,,R1,\n"

    (image,) = read_images(tmp_path, MANY, table)

    assert image.metadata == {"reader": ["R1", "R2"], "site": "same"}
    assert image.conflicts == ()


def test_what_is_not_understood_is_told_once_for_each_image(tmp_path: Path) -> None:
    table = ROWS + "a,Mass,,,0\na,Mass,,,0\nb,Mass,,,unknown\nc,Mass,,,F\n"

    a, b, c = read_images(tmp_path, MANY, table)

    assert (a.unread, b.unread, c.unread) == ((("sex", "0"),), (), ())


def test_rows_that_do_not_follow_one_another_come_together_too(tmp_path: Path) -> None:
    table = ROWS + "a,Mass,,,\nb,Mass,,,\na,Edema,,,\n"

    first, second = read_images(tmp_path, MANY, table)

    assert [label.word for label in first.labels] == ["Mass", "Edema"]
    assert (first.line, second.line) == (2, 3)


@pytest.mark.parametrize("adjacent", ["", "adjacent = true\n"])
def test_an_image_with_one_bad_row_is_not_imported_in_part(tmp_path: Path, adjacent: str) -> None:
    table = ROWS + f"a,Mass,,,\na,{'x' * 121},,,\na,Edema,,,\nb,Mass,,,\ntorn\nb,Edema,,,\n"

    images, bad = read(open_source(tmp_path, MANY + adjacent, table))

    assert [(row.line, row.source_id) for row in bad] == [(3, "a"), (6, "")]
    assert [image.source_id for image in images] == ["b"]
    assert [label.word for label in images[0].labels] == ["Mass", "Edema"]


def test_of_contradicting_rows_the_stronger_finding_counts(tmp_path: Path) -> None:
    description = PLAIN + '[[labels]]\ncolumns = ["Mass"]\n[many]\n'

    (image,) = read_images(tmp_path, description, "id,Mass\na,0\na,1\na,-1\n")

    assert image.labels == (LabelRow("Mass"),)


# --- Ids ---
def test_na_is_an_id_as_any_other(tmp_path: Path) -> None:
    description = PLAIN.replace('"{id}"', '"{id}.png"') + (
        '[[join]]\npath = "more.csv"\nkey = "{who}"\nto = "{id}"\n'
    )
    table = "id,sex\nNA,F\nnan,M\nNB,NA\n"

    images, bad = read(open_source(tmp_path, description, table, more="who,site\nNA,yes\n"))

    assert [(each.source_id, each.metadata.get("site")) for each in images] == [
        ("NA.png", "yes"),
        ("NB.png", None),
    ]
    assert [(each.line, each.value) for each in bad] == [(3, "")]


# --- Files under other names ---
def test_a_file_is_found_whatever_its_case_and_by_endings_that_say_the_same(
    tmp_path: Path,
) -> None:
    table = "id\n374.png\n403.jpg\nX/b.tif\n0007\nscan.dicom\n1.2.840.9\nd.nii.gz\nplain.png\n"
    names = ("374.PNG", "403.jpeg", "x/B.TIFF", "0007.jpg", "scan.dcm", "1.2.840.9.dcm", "D.nii.GZ")
    source = with_files(tmp_path, "", table, *names, "plain.png")

    images, _ = read(source)

    assert [image.file_path for image in images] == [*names, "plain.png"]
    assert source.files
    assert source.files.respelled == 7
    assert source.files.examples[0] == ("374.png", "374.PNG")
    assert source.files.missing == []


@pytest.mark.parametrize("more", ["", "anywhere = true\n"])
def test_what_could_be_several_files_or_another_picture_is_only_offered(
    tmp_path: Path, more: str
) -> None:
    table = "id\nTwo.png\njpg.png\na.png\nA.png\nnone.png\n"
    names = ("two.png", "TWO.png", "jpg.jpg", "a.png", "rest.png", "notes.txt")
    source = with_files(tmp_path, more, table, *names)

    images, _ = read(source)

    assert [image.file_path for image in images] == [
        *("Two.png", "jpg.png", "a.png", "A.png", "none.png")
    ]
    files = source.files
    assert files
    assert files.missing == ["Two.png", "jpg.png", "A.png", "none.png"]
    offered = [sorted(files.offer(name)) for name in files.missing]
    assert offered == [["TWO.png", "two.png"], ["jpg.jpg"], ["a.png"], []]
    assert [*files.iter_unused()] == ["TWO.png", "jpg.jpg", "rest.png", "two.png"]


def test_files_are_sought_anew_and_a_file_of_two_spellings_is_named(tmp_path: Path) -> None:
    source = with_files(tmp_path, "", "id\nA.png\na.png\n", "a.png")

    for _ in range(2):
        assert [image.file_path for image in read(source)[0]] == ["a.png", "a.png"]
        assert source.files
        assert source.files.shared == ["a.png"]
    (tmp_path / "images/A.png").touch()
    assert [image.file_path for image in read(source)[0]] == ["A.png", "a.png"]


def test_an_extension_of_the_description_is_found_in_any_case(tmp_path: Path) -> None:
    source = with_files(tmp_path, 'extensions = [".png", ".jpg"]', "id\na\nb\n", "a.PNG", "b.JPEG")

    assert [image.file_path for image in read(source)[0]] == ["a.PNG", "b.JPEG"]


def test_a_joined_table_tells_which_of_its_keys_contradict_themselves(tmp_path: Path) -> None:
    join = '[[join]]\npath = "more.csv"\nkey = "{who}"\nto = "{id}"\n'
    source = open_source(tmp_path, PLAIN + join, "id\na\nb\n", more="who,x\na,1\na,1\nb,1\nb,2\n")

    read(source)

    assert [dict(each.contradicting) for each in source.joins] == [{"b": 1}]


def test_rows_without_a_partner_in_a_joined_table_are_counted(tmp_path: Path) -> None:
    table = "id,age,who\na,1,1\nb,2,02\nc,3,\nd,4,02\ne,5,3.0\n"
    join = '[[join]]\npath = "more.csv"\nkey = "{key}"\nto = "{who}"\n'
    source = open_source(tmp_path, PLAIN + join, table, more="key,x\n1,a\n2,b\n3,c\n")

    for _ in range(2):
        read(source)
        assert [*format_joins(source)] == [
            "more.csv: 3 of 4 rows have no partner there, such as 02, 3.0"
        ]


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ('sex = "{Sexx}"\n', "[image] sex"),
        ('age = "{Sexx}"\n', "[image] age, born or studied"),
        ('url = "{Sexx}"\n', "[image] url"),
        ('[files]\npath = "{Sexx}"\n', "[files] path"),
        ('[[labels]]\nwords = "{Sexx}"\n', "[[labels]] words or columns"),
        ('[metadata]\nonly = ["Sexx"]\n', "[metadata] only"),
        ('[[join]]\npath = "t.csv"\nkey = "{Sexx}"\nto = "{id}"\n', "[[join]] key"),
        ('[[join]]\npath = "u.csv"\nkey = "{who}"\nto = "{Sexx}"\n', "[[join]] to"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_its_key(
    tmp_path: Path, more: str, place: str
) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(tmp_path, PLAIN + more, "id,Sex\na,F\n", u="who\na\n")

    said = str(caught.value)
    assert said.startswith(f"dataset.toml, {place}: t.csv has no column “Sexx”.")


def test_all_columns_that_are_not_there_are_named_at_once(tmp_path: Path) -> None:
    description = PLAIN.replace('"{id}"', '"{idd}"') + 'sex = "{s}"\n[[labels]]\nwords = "{y}"\n'

    with pytest.raises(SourceError) as caught:
        open_source(tmp_path, description, "id,Sex\na,F\n")

    places = [line.partition(": t.csv")[0] for line in str(caught.value).splitlines()]
    assert places == [
        "dataset.toml, [image] id", "dataset.toml, [files] path", "dataset.toml, [image] sex",
        "dataset.toml, [[labels]] words or columns",
    ]  # fmt: skip


def test_a_column_that_asks_is_answered_by_its_cells(tmp_path: Path) -> None:
    description = PLAIN + '[[labels]]\ncolumns = ["Mass?"]\n'
    images = read_images(tmp_path, description, "id,Mass?\na,yes\nb,no\n")
    assert [image.labels for image in images] == [
        (LabelRow("Mass"),), (LabelRow("Mass", "negative"),)
    ]  # fmt: skip


def test_each_image_may_have_its_own_licence(tmp_path: Path) -> None:
    description = PLAIN + 'license = "{lic}"\nlicense_words = { Jim = "cc-by-4.0" }\n'
    images = read_images(tmp_path, description, "id,lic\na,CC BY-NC\nb,jim\nc,\nd,NaN\n")
    assert [image.license for image in images] == ["CC BY-NC", "cc-by-4.0", "", ""]


def test_words_and_subjects_that_tell_who_somebody_is_are_left_out(tmp_path: Path) -> None:
    description = PLAIN + 'modality = "{m}"\narea = "{p}"\nlicense = "{l}"\nsubject = "{who}"\n'
    named = "a,XR Patient: John Doe DOB: 04/03/1961,Name: Jane Doe Age: 45,DOB: 1.4.1961,"
    table = (
        f"id,m,p,l,who\n{named}Patient Name: Bob Doe\nb,Digital Radiography,Left Knee,CC BY,P1\n"
    )

    source = open_source(tmp_path, description, table)
    (first, second), _ = read(source)

    assert (first.modality, first.area, first.license, first.subject_id) == ("", "", "", "")
    assert first.metadata == {}
    assert source.notes[0].endswith(": l, m, p, who")
    assert (second.modality, second.area) == ("Digital Radiography", "Left Knee")
    assert (second.license, second.subject_id) == ("CC BY", "P1")


def test_words_of_modality_and_area_can_be_explained(tmp_path: Path) -> None:
    description = PLAIN + (
        'modality = "{mod}"\nmodality_words = { "Röntgen" = "dx", 2 = "ct", "?!" = "" }\n'
        'area = "{part}"\narea_words = { thorax-ap = "chest" }\n'
    )
    table = "id,mod,part\na,röntgen,Thorax-AP\nb,2.0,Knee\nc,?!,\nd,MR,\n"
    images = read_images(tmp_path, description, table)
    assert [(image.modality, image.area) for image in images] == [
        ("dx", "chest"), ("ct", "Knee"), ("", ""), ("MR", ""),
    ]  # fmt: skip
