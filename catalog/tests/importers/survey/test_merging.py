"""Which rows of a survey are one dataset, and what is taken from them."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from catalog.importers.survey.entries import make_entry
from catalog.importers.survey.entry_file import EntryFile, read_entry_file, write_entry_file
from catalog.importers.survey.merging import group_rows
from catalog.importers.survey.rows import COLUMNS, BadSurvey, SurveyRow, read_survey, split_words
from vocab.lookup import find_terms
from vocab.text import TermRef


def row(name: str, url: str = "", **more: str) -> SurveyRow:
    cells = dict.fromkeys(COLUMNS, "NA") | {"name": name, "url": url, "has_labels": "yes"} | more
    return SurveyRow(2, **cells)


def group(
    *rows: SurveyRow,
    entries: Sequence[Mapping[str, Any]] = (),
    omissions: Sequence[Mapping[str, Any]] = (),
) -> dict[str, list[str]]:
    """The names of rows by slug."""
    groups = group_rows(rows, entries=entries, omissions=omissions)
    return {each.slug: each.names for each in groups}


@pytest.mark.parametrize(
    ("samples", "count"),
    [
        ("2.7k", (2700, True)),
        ("33.1k", (33_100, True)),
        ("170", (170, False)),
        ("10,015", (10_015, False)),
        ("0", (0, False)),
        ("NA", (0, False)),
        ("many", (0, False)),
        ("1e999", (0, False)),
        ("1.2.3k", (0, False)),
        ("9" * 20, (0, False)),
        ("9" * 400 + "k", (0, False)),
        ("999999999m", (0, False)),
        ("٣", (0, False)),
        ("1" + ",000" * 2000, (0, False)),
    ],
)
def test_numbers_say_whether_they_are_rounded(samples: str, count: tuple[int, bool]) -> None:
    assert row("x", samples=samples).count() == count


def test_cells_are_lists_in_many_spellings() -> None:
    assert split_words("CT/ PET") == ["CT", "PET"]
    assert split_words("Kidney, Pancreas,") == ["Kidney", "Pancreas"]
    assert split_words("NA") == []


def test_names_that_differ_by_case_and_signs_are_one_dataset() -> None:
    found = group(row("NaF PROSTATE"), row("NaF-Prostate"), row("NaF Thyroid"))
    assert found == {
        "naf-prostate": ["NaF PROSTATE", "NaF-Prostate"],
        "naf-thyroid": ["NaF Thyroid"],
    }


def test_parts_on_one_page_are_one_dataset_and_strangers_on_it_are_not() -> None:
    page = "https://www.example.org/challenge/home/"
    found = group(
        row("StructSeg Task 1", page),
        row("StructSeg Task 2", "http://example.org/challenge"),
        row("DIRLAB", page),
    )
    assert found == {
        "structseg-task-1": ["StructSeg Task 1", "StructSeg Task 2"],
        "dirlab": ["DIRLAB"],
    }


def test_a_row_finds_the_entry_that_is_there() -> None:
    entries: list[dict[str, Any]] = [
        {"slug": "nih-chestxray14", "title": "NIH ChestX-ray14", "rows": ["NIH Chest X-ray 14"]},
        {"slug": "tcga_blca", "title": "TCGA Bladder"},
        {"slug": "kits19", "title": "KiTS19", "source_url": "https://kits19.grand-challenge.org"},
    ]
    found = group(
        row("NIH Chest X-ray 14"),
        row("NIH ChestXray14"),
        row("Bladder", "https://www.cancerimagingarchive.net/collection/tcga-blca/"),
        row("KiTS19 test set", "https://kits19.grand-challenge.org/data/"),
        entries=entries,
    )
    assert found == {
        "nih-chestxray14": ["NIH ChestXray14"],
        "tcga_blca": ["Bladder"],
        "kits19": ["KiTS19 test set"],
    }


def test_what_people_left_out_or_kept_apart_stays_so() -> None:
    entries = [{"slug": "a-one", "rows": ["A one"]}, {"slug": "a-two", "rows": ["A two"]}]
    page = "https://example.org/a"
    found = group(
        row("A one", page), row("A two", page), row("A tool", page),
        entries=entries, omissions=[{"rows": ["A tool"], "reason": "It has no images."}],
    )  # fmt: skip
    assert found == {"a-one": ["A one"], "a-two": ["A two"]}


@pytest.mark.django_db
@pytest.mark.usefixtures("vocabularies")
def test_what_rows_agree_in_is_taken_and_the_rest_is_said() -> None:
    (found,) = group_rows(
        [
            row("X task 1", "https://x.org", year="2020", dimensions="3D", modality="CT/ PET",
                structure="Lung", samples="1.2k", tasks="Seg, Cls", diseases="Lung cancer"),
            row("X task 2", "https://x.org", year="2021", dimensions="Video", modality="CT",
                structure="Lung, Tricorder", samples="1.2k", tasks="Seg", diseases="Warp flu"),
        ],
        entries=[], omissions=[],
    )  # fmt: skip
    entry, notes = make_entry(found, find_terms)
    assert entry["modalities"] == ["ct", "pt"]
    assert entry["dimensions"] == ["3d", "video"]
    assert entry["task_types"] == ["segmentation", "classification"]
    assert (entry["area"], entry["labels"]) == ("lung", ["lung-tumor"])
    assert (entry["num_images"], entry["is_num_rounded"]) == (1200, True)
    assert entry["parts"] == ["X task 1", "X task 2"]
    assert "year" not in entry
    assert not {"access", "license", "sample_unit"} & entry.keys(), "The survey does not say them."
    assert notes == [
        "year differs: 2020, 2021",
        "area “Tricorder” is no term",
        "label “Warp flu” is no term",
    ]


@pytest.mark.django_db
@pytest.mark.usefixtures("vocabularies")
def test_diseases_of_plain_pictures_are_not_believed() -> None:
    (found,) = group_rows(
        [row("X", dimensions="2D", diseases="Glaucoma")], entries=[], omissions=[]
    )
    assert "labels" not in make_entry(found, find_terms)[0]


# --- The file ---
def write_survey(path: Path, *rows: SurveyRow) -> Path:
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(getattr(each, name) for name in COLUMNS) for each in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name\tyear\n", "line 1: the columns are not name, year, url"),
        ("\t".join(COLUMNS) + "\nx\t2020\n", "line 2: 2 cells instead of 10"),
        ("\udcff", "not tab-separated UTF-8"),
    ],
)
def test_another_file_is_refused_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "survey.tsv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BadSurvey, match=problem):
        read_survey(path)


def test_the_file_of_entries_is_the_same_after_reading_it(tmp_path: Path) -> None:
    content = EntryFile(
        entries=[
            {"slug": "b", "title": 'A "quoted" \\ title – ünïcode', "year": 2020, "rows": ["B"]},
            {
                "slug": "a",
                "is_synthetic": True,
                "rows": [f"row {n} of a long list" for n in range(9)],
            },
        ],
        relations=[{"dataset": "a", "kind": "part_of", "other": "b", "source": "https://x.org"}],
        omissions=[{"rows": ["C"], "reason": "No images."}],
    )
    path = tmp_path / "entries.toml"
    write_entry_file(path, content)
    again = read_entry_file(path)
    content.entries.reverse()
    assert again == content
    first = path.read_bytes()
    write_entry_file(path, again)
    assert path.read_bytes() == first


@pytest.mark.django_db
@pytest.mark.usefixtures("vocabularies")
def test_a_newer_survey_adds_what_is_new_and_nothing_the_second_time(tmp_path: Path) -> None:
    path = tmp_path / "entries.toml"
    known = {"slug": "kits19", "title": "KiTS19", "year": 2019, "rows": ["KiTS19"]}
    write_entry_file(path, EntryFile([known]))
    survey = write_survey(
        tmp_path / "survey.tsv",
        row("KiTS19", year="1999"),
        row("KITS-19"),
        row("A new one", "https://new.example.org", modality="MR", structure="Knee"),
        row("CheXpert"),
    )

    def merge(*arguments: str) -> str:
        out = StringIO()
        call_command("merge_survey", str(survey), "--file", str(path), *arguments, stdout=out)
        return out.getvalue()

    before = path.read_bytes()
    said = merge()
    assert "“KITS-19”: the same name" in said
    assert "4 rows: 1 known, 1 new datasets, 0 left out" in said
    assert path.read_bytes() == before, "It only reports without --write."

    merge("--write")
    entries = {entry["slug"]: entry for entry in read_entry_file(path).entries}
    assert entries["kits19"] == known | {"rows": ["KITS-19", "KiTS19"]}
    assert entries["a-new-one"]["modalities"] == ["mr"]
    assert entries["chexpert"]["rows"] == ["CheXpert"], "It is described in the other file."
    assert "title" not in entries["chexpert"]
    after = path.read_bytes()
    assert "4 rows: 4 known, 0 new datasets" in merge("--write")
    assert path.read_bytes() == after


def test_a_survey_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no\.tsv"):
        call_command("merge_survey", str(tmp_path / "no.tsv"))


def unknown(vocabulary: str, words: Sequence[str]) -> Mapping[str, Sequence[TermRef]]:
    return dict.fromkeys(words, ())


def test_nothing_is_guessed_of_an_empty_row() -> None:
    (found,) = group_rows([row("Bare")], entries=[], omissions=[])
    entry, notes = make_entry(found, unknown)
    assert entry == {
        "slug": "bare", "title": "Bare", "has_labels": True, "survey": "imaging-x",
        "rows": ["Bare"],
    }  # fmt: skip
    assert not notes


@pytest.mark.parametrize("year", ["²", "9" * 5000, "20201", "१२३४"])
def test_what_is_no_year_is_none(year: str) -> None:
    assert row("x", year=year).known_year is None


def test_slugs_are_those_that_addresses_of_pages_can_have() -> None:
    odd = "https://www.cancerimagingarchive.net/collection/a%20b'é/"
    assert list(group(row("肺CT"), row("Naïve"), row("x y", odd))) == ["ct", "na-ve", "x-y"]


def test_a_file_with_any_sign_can_be_read_again(tmp_path: Path) -> None:
    title = "".join(map(chr, range(0x20, 0x100))) + "\u2028\ufeff😀"
    write_entry_file(tmp_path / "file.toml", EntryFile([{"slug": "x", "title": title}]))
    assert read_entry_file(tmp_path / "file.toml").entries == [{"slug": "x", "title": title}]


@pytest.mark.parametrize("year", ["²", "9" * 5000, "99999", "1", "٢٠١٩"])
def test_what_is_no_year_is_not_known(year: str) -> None:
    assert row("x", year=year).known_year is None


def test_what_is_no_address_or_no_answer_is_not_known() -> None:
    assert row("x", "javascript:alert(1)").address == ""
    assert row("x", "NA").address == ""
    assert row("x", has_labels="NA").says_labels is None
    assert row("x", has_labels="no").says_labels is False


@pytest.mark.parametrize("name", ["", "a\0b", "a\x7fb", "n" * 201])
def test_a_survey_with_names_that_no_entry_can_have_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "survey.tsv"
    cells = [name, *["NA"] * (len(COLUMNS) - 1)]
    path.write_text("\t".join(COLUMNS) + "\n" + "\t".join(cells) + "\n")
    with pytest.raises(BadSurvey, match="line 2"):
        read_survey(path)


@pytest.mark.parametrize("text", ["x = [", "", '[[dataset]]\ntitle = "x"\n'])
def test_a_broken_file_of_entries_is_said(tmp_path: Path, text: str) -> None:
    survey, file = tmp_path / "survey.tsv", tmp_path / "entries.toml"
    survey.write_text("\t".join(COLUMNS) + "\n")
    file.write_text(text)
    with pytest.raises(CommandError, match=r"entries\.toml"):
        call_command("merge_survey", str(survey), "--file", str(file))
