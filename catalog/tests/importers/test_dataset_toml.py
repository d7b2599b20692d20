"""What a dataset.toml may say, and what it is told when it says something else; no database."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from catalog.importers.rows import SourceError
from catalog.importers.tables.description import parse_description, read_description
from catalog.importers.tables.specs import Description
from catalog.importers.tables.templates import Header, compile_value, parse_template

LEAST = """
[dataset]
slug = "mine"
[[table]]
path = "labels.csv"
[image]
id = "{file}"
"""


def parse(text: str) -> Description:
    return parse_description(tomllib.loads(text), file="dataset.toml", home=Path("/srv/data"))


def test_a_table_and_an_id_are_enough() -> None:
    description = parse(LEAST)

    assert description.entry == {"slug": "mine"}
    assert description.table[0].path == ("labels.csv",)
    assert [template.text for template in description.image.id] == ["{file}"]
    assert (description.files.folder, description.many, description.labels) == (None, None, ())


def test_the_entry_holds_only_what_is_said() -> None:
    text = LEAST.replace(
        'slug = "mine"',
        'slug = "mine"\ntitle = "Mine"\nmodalities = ["MRI"]\ntags = []\nnum_images = 3\n'
        "is_synthetic = true",
    )

    assert parse(text).entry == {
        "slug": "mine",
        "title": "Mine",
        "modalities": ["MRI"],
        "tags": [],
        "num_images": 3,
        "is_synthetic": True,
    }


def test_folders_start_at_the_description() -> None:
    assert parse(LEAST + '[files]\nfolder = "."').files.folder == Path("/srv/data")
    assert parse(LEAST + '[files]\nfolder = "a/b"').files.folder == Path("/srv/data/a/b")
    assert parse(LEAST + '[files]\nfolder = "/mnt/x"').files.folder == Path("/mnt/x")


def test_what_cells_mean_can_be_told_in_part() -> None:
    (labels,) = parse(LEAST + '[[labels]]\ncolumns = ["A"]\nnegative = ["-1"]').labels

    assert labels.read_finding("-1.0") == "negative"
    assert labels.read_finding("1") == labels.read_finding("yes") == "positive"
    assert labels.read_finding("maybe") == "uncertain"


def with_line(section: str, line: str) -> str:
    if f"[{section}]\n" in LEAST:
        return LEAST.replace(f"[{section}]\n", f"[{section}]\n{line}\n")
    return f"{LEAST}[{section}]\n{line}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"\[\[table\]\]: there is none\. Name the table that lists the images"),
        (LEAST.replace("[[table]]", "[table]"), r"\[\[table\]\]: write .* two brackets"),
        (LEAST.replace('"{file}"', '"file"'), r"\[image\] id: give the column that tells"),
        (LEAST.replace('slug = "mine"', ""), r"\[dataset\] slug: give the dataset's short name"),
        (LEAST + "[imge]\nx = 1", "imge: there is no such key; did you mean image"),
        (with_line("image", 'sexx = "{s}"'), r"\[image\] sexx: .* did you mean sex\?"),
        (with_line("image", 'id2 = "{s}"\nzzzz = 1'), "there is no such key"),
        (with_line("image", "sex = 3"), r"\[image\] sex: give a list of texts"),
        (with_line("image", 'sex = "{s"'), "sex: A brace has no partner"),
        (with_line("image", f'sex = "{"{Sex}" * 101}"'), "has 101 parts"),
        (with_line("image", 'sex = "{}"'), "Braces need a column's name"),
        (with_line("image", 'sex = "{s|shout}"'), "“shout” is no filter; there are lower,"),
        (with_line("image", 'sex = "{s|part x}"'), "“part x” is no filter"),
        (with_line("image", 'sex = "{s.__class__|part 1000}"'), "is no filter"),
        (with_line("image", 'sex_words = { 1 = "female" }'), 'give F, M, O or "" for each word'),
        (with_line("image", 'born = "{b}"'), "born and studied make an age only together"),
        (with_line("image", 'age_unit = "hours"'), "“hours” is none of years, months"),
        (with_line("dataset", "num_images = -1"), "num_images: give a whole number"),
        (with_line("dataset", "is_synthetic = 1"), "is_synthetic: say true or false"),
        (with_line("dataset", "title = 1"), "title: give a text"),
        (with_line("dataset", 'source_url = "ftp://example.org/rays"'),
         r"source_url: Give the address of a page, which begins with https:// or http://"),
        (with_line("dataset", 'source_url = "javascript:alert(1)"'), "source_url: Give the"),
        (with_line("dataset", 'source_url = "https:///rays"'), "source_url: Give the address"),
        (with_line("dataset", r'source_url = "https://example.org/\u0001rays"'),
         "source_url: An address has no spaces, line breaks or other signs that cannot be seen"),
        (with_line("dataset", r'source_url = "https://example.org/\u202Erays"'),
         "source_url: An address has no spaces"),
        (with_line("dataset", 'source_url = "https://www.good.example@evil.example/"'),
         "source_url: Leave out what stands before @"),
        (with_line("dataset", r'title = "Rays\u202Esyar"'), "title: a title has no line breaks"),
        (with_line("dataset", "year = 0"), "year: give a year from 1950 to 2100: year = 2024"),
        (with_line("dataset", 'year = "2020"'), "year: give a year from 1950 to 2100"),
        (with_line("dataset", 'dimensions = ["5d"]'), "dimensions: “5d” is none of 2d, 3d"),
        (with_line("[table]", 'format = "xlsx"'), "“xlsx” is none of csv, tsv, jsonl, parquet"),
        (with_line("[table]", 'encoding = "klingon"'), "no text encoding “klingon”"),
        (with_line("[table]", 'encoding = "base64"'), "no text encoding “base64”"),
        (with_line("[table]", 'encoding = ["a", "b", "c"]'), "give one encoding, or two"),
        (with_line("[table]", 'delimiter = ";;"'), "delimiter: give one character"),
        (LEAST.replace("labels.csv", "../x.csv"), "“../x.csv” may lead elsewhere"),
        (LEAST.replace("labels.csv", "/etc/x.csv"), "“/etc/x.csv” may lead elsewhere"),
        (LEAST.replace('path = "labels.csv"', ""), r"\[\[table\]\] path: give the file's name"),
        (with_line("[join]", 'path = "b.csv"'), r"\[\[join\]\] key: give .*\n.* to: give the same"),
        (with_line("files", 'extensions = ["png"]'), "extensions with their dot"),
        (with_line("[labels]", 'separator = "|"'), "give either words or columns"),
        (with_line("[labels]", 'words = "{a}"\ncolumns = ["b"]'), "give either words or columns"),
        (with_line("[labels]", "columns = 3"), "columns: give pairs"),
        (with_line("[labels]", 'words = "{a}"\nlist = true\nseparator = "|"'), "either separator"),
        (with_line("[labels]", 'words = "{a}"\nfinding = "yes"'), "“yes” is none of positive"),
        (with_line("[labels]", 'columns = ["a"]\npositive = ["1"]\nnegative = ["1.0"]'),
         "1.0 cannot mean both positive and negative"),
        (with_line("many", 'gather = "boxes"'), "gather is the name of the list"),
        (with_line("metadata", 'add = { a = "{b" }'), r"\[metadata\] add a: A brace"),
        (with_line("metadata", "add = { a = 1 }"), r"\[metadata\] add a: give a text"),
        ("metadata = 3\n" + LEAST, r"\[metadata\]: is no table"),
        ("labels = [3]\n" + LEAST, r"\[\[labels\]\]: is no table"),
        (LEAST + '[[labels]]\nwords = "x"\n[[labels]]\nlist = 1', r"\[labels\]\] no\. 2 list: say"),
        (with_line("[table]", "skip = 999999999999"), "skip: give a whole number from 0 to 2147"),
        (with_line("[table]", "skip = 1.0"), "skip: give a whole number"),
        (with_line("[table]", "skip = true"), "skip: give a whole number"),
        (with_line("[table]", r'member = "a\u0000b"'), r"\[\[table\]\] member: .* NUL character"),
        (with_line("image", r'sex = "{a\u0000b}"'), r"\[image\] sex: .* NUL character"),
        (with_line("files", r'folder = "a\u0000b"'), r"\[files\] folder: .* NUL character"),
        (with_line("files", "folder = 3"), r"\[files\] folder: give a text"),
        (with_line("files", 'folder = "~nobody-of-that-name/x"'), "folder: .*Write the whole path"),
        (with_line("image", r'"\u001b[2J" = 1'), r"\[image\] \\x1b\[2J: there is no such key"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        parse(text)
    assert str(caught.value).startswith("dataset.toml, ")


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SourceError) as caught:
        parse(with_line("image", 'sexx = "{s}"\nage = 3') + "[files]\nanywhere = 1")

    assert str(caught.value).splitlines() == [
        "dataset.toml, [files] anywhere: say true or false. For example: anywhere = true",
        'dataset.toml, [image] age: give a list of texts: ["one", "two"]. For example: '
        'age = "{Age}"',
        "dataset.toml, [image] sexx: there is no such key; did you mean sex?",
    ]


def test_of_very_many_errors_the_first_are_said() -> None:
    keys = "".join(f"x{n} = 1\n" for n in range(1000))

    with pytest.raises(SourceError) as caught:
        parse(LEAST + keys)

    assert str(caught.value).splitlines()[20:] == ["There are 980 more errors."]


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("image", 'subject = "{Patient Name}"'),
        ("image", 'url = "https://x.org/{MRN}"'),
        ("image", 'studied = "{BirthDate}"\nborn = "{y}"'),
        ("[labels]", 'words = "{Address}"'),
        ("[labels]", 'columns = ["Surname"]'),
        ("many", 'gather = "x"\ncolumns = ["Phone"]'),
        ("metadata", 'numbers = ["dob"]'),
        ("metadata", 'lists = ["PatientName"]'),
        ("metadata", 'only = ["Patient\'s Birth Date"]'),
        ("metadata", 'add = { who = "{first_name}" }'),
    ],
)
def test_columns_that_tell_who_somebody_is_are_refused(section: str, line: str) -> None:
    with pytest.raises(SourceError, match=r"tells who somebody is|can be no label"):
        parse(with_line(section, line))


def test_only_the_age_may_come_from_a_date_of_birth() -> None:
    image = parse(with_line("image", 'born = "{Birth Date}"\nstudied = "{StudyDate}"')).image

    assert image.born[0].columns == ["Birth Date"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[dataset", "is no TOML"),
        ("slug = 'größe'".encode("latin-1"), "is no TOML"),
        (b"x = 1\n" * 200_000, "too large for a description"),
        (b"x = " + b"[" * 100_000, "is no TOML"),
        (b"x = " + b"9" * 5_000, "is no TOML"),
    ],
)
def test_a_file_that_is_no_description_is_refused(
    tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "dataset.toml").write_bytes(data)

    with pytest.raises(SourceError, match=message):
        read_description(tmp_path / "dataset.toml")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        read_description(tmp_path / "dataset.toml")


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text("\ufeff" + LEAST)

    assert read_description(tmp_path / "dataset.toml").entry == {"slug": "mine"}


# --- Templates ---
CELLS: dict[str, Any] = {
    "Path": "CheXpert-v1.0-small/train/patient00001/study1/view1.jpg",
    "win": r"a\b.png",
    "dots": "./1000_IM.dcm",
    "scan": "sub-01/anat/T1w.nii.gz",
    "no": " 7 ",
    "none": "nan",
    "a|b": "x",
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("cr", "cr"),
        ("{no}", "7"),
        ("{none}", ""),
        ("images/{no}.png", "images/7.png"),
        ("images/{none}.png", ""),
        ("{no|pad 3}_{no}", "007_7"),
        ("{Path|from 2}", "train/patient00001/study1/view1.jpg"),
        ("{Path|part -3}", "patient00001"),
        ("{Path|part 1|upper}", "CHEXPERT-V1.0-SMALL"),
        ("{Path|part 9}", ""),
        ("{Path|basename}", "view1.jpg"),
        ("{Path|stem}", "view1"),
        ("{scan|stem}", "T1w"),
        ("{dots|from 1}", "1000_IM.dcm"),
        ("{win|slash|basename}", "b.png"),
        ("{{{no}}}", "{7}"),
    ],
)
def test_templates_put_columns_together(template: str, value: str) -> None:
    header = Header("t.csv", {name: place for place, name in enumerate(CELLS)})

    get = compile_value((parse_template(template),), header)

    assert get(list(CELLS.values())) == value


def test_of_several_templates_the_first_that_is_not_empty_counts() -> None:
    header = Header("t.csv", {"a": 0, "b": 1})
    get = compile_value(tuple(map(parse_template, ("{a}", "{b}", "neither"))), header)

    assert [get(["1", "2"]), get(["", "2"]), get(["nan", " "])] == ["1", "2", "neither"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_line("[table]", "skip = true"), "[[table]] skip: .* For example: skip = 1"),
        (with_line("[table]", 'format = "xls"'), '[[table]] format: .* example: format = "csv"'),
        (with_line("image", 'age_unit = "hours"'), '[image] age_unit: .* age_unit = "months"'),
        (with_line("dataset", "modalities = 3"), '[dataset] modalities: .* modalities = ["dx"]'),
        (with_line("files", "anywhere = 1"), "[files] anywhere: .* anywhere = true"),
        (with_line("files", 'extensions = ["png"]'), 'extensions = [".png", ".jpg"]'),
    ],
)
def test_what_is_wrong_is_said_with_an_example(text: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse(text)

    start, _, end = message.partition(" .* ")
    assert f"dataset.toml, {start}" in str(caught.value) or start in str(caught.value)
    assert end in str(caught.value)


def test_a_key_of_sixty_thousand_parts_is_refused_at_once(tmp_path: Path) -> None:
    """The library would take 14 GB for it."""
    (tmp_path / "dataset.toml").write_text("a." * 60_000 + "a = 1")

    with pytest.raises(SourceError, match="a key has more than 32 parts"):
        read_description(tmp_path / "dataset.toml")


def test_a_line_that_is_no_toml_is_shown(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text('[dataset]\nslug = "mine"\ntitle = My rays\n')

    with pytest.raises(SourceError) as caught:
        read_description(tmp_path / "dataset.toml")

    assert "(at line 3" in str(caught.value)
    assert "That line is: title = My rays" in str(caught.value)
    assert 'title = "My rays".' in str(caught.value)
