"""Names: safe to unpack anywhere, unique everywhere, the same on every machine."""

import re
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collections_app.archive import UniqueNames, checksum_line, safe_name
from collections_app.archive.names import MAX_NAME, MAX_SEGMENT, fold_name

HASHED = r"-[0-9a-f]{10}"

# Text with many dangerous characters.
nasty_text = st.text("conauxlpt1/. -_", max_size=20) | st.lists(
    st.one_of(
        st.sampled_from(
            [*'/\\.:<>"|?* \t\n\r\0', "..", "CON", "nul.", "com1", "é", "e\u0301", "ß", "\u202e"]
        ),
        st.characters(),
        st.text(st.characters(categories=["L", "N"]), max_size=60),
    ),
    max_size=25,
).map("".join)


@pytest.mark.parametrize(
    "name",
    [
        "scan.png",
        "images/nih-chest-xray14/00000001_000.png",
        "1.2.840.113619.2.55.3/1.2.840.113619.2.55.3.604688119.971.dcm",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "HEAD/head.png",
        "a b (1) [x] {y} #5 100% & more, etc.csv",
        "Röntgen/Überblick.png",
        "胸部X線/画像一.png",
        "console.txt",
        "com10.txt",
        "auxiliary/nullify.png",
        "x" * MAX_SEGMENT,
    ],
)
def test_a_safe_name_comes_back_unchanged(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("con", f"_con{HASHED}"),
        ("NUL.txt", f"_NUL{HASHED}.txt"),
        ("a/com1.tar.gz", rf"a/_com1{HASHED}\.tar\.gz"),
        ("Aux .png", rf"_Aux{HASHED}\.png"),
        ("lpt¹", f"_lpt¹{HASHED}"),
        ("CON.a.b/1.png", rf"_CON\.a{HASHED}\.b/1\.png"),
        (".git/config", rf"_{HASHED}\.git/config"),
        ("a/.envrc", rf"a/_{HASHED}\.envrc"),
        ("a/\u200b.x y", rf"a/_\.x y{HASHED}"),
        ("HEAD", rf"_HEAD{HASHED}"),
        ("a/head", rf"a/_head{HASHED}"),
        ("a:b.png", rf"a_b{HASHED}\.png"),
        ("C:\\x\\y.png", rf"C__x_y{HASHED}\.png"),
        ('what?<>|"*.png', rf"what______{HASHED}\.png"),
        ("line\nbreak\x7f.csv", rf"line_break_{HASHED}\.csv"),
        ("dots...", f"dots{HASHED}"),
        ("spaces  /x.png", f"spaces{HASHED}/x.png"),
        ("/etc/passwd", f"etc/passwd{HASHED}"),
        ("../../x.png", rf"_{HASHED}/_{HASHED}/x\.png"),
        ("a/../b.png", rf"a/_{HASHED}/b\.png"),
        ("a//./b.png", rf"a/b{HASHED}\.png"),
        ("", f"_{HASHED}"),
        ("/", f"_{HASHED}"),
        ("...", f"_{HASHED}"),
        ("e\u0301.png", rf"é{HASHED}\.png"),
        ("a\u202egnp.exe", rf"agnp{HASHED}\.exe"),
        ("zero\u200bwidth.png", rf"zerowidth{HASHED}\.png"),
        ("\udcff.png", rf"_{HASHED}\.png"),
    ],
)
def test_an_unsafe_part_is_replaced_and_marked(path: str, pattern: str) -> None:
    assert re.fullmatch(pattern, safe_name(path))


def test_a_marked_name_is_the_same_on_every_machine() -> None:
    assert safe_name("con/Größe: 5?.png") == "_con-cb66561fa5/Größe_ 5_-00d38b8a0d.png"


def test_a_long_part_keeps_its_extension_and_whole_characters() -> None:
    name = safe_name("ü" * 300 + ".nii.gz")
    assert len(name.encode()) <= MAX_SEGMENT
    assert re.fullmatch(rf"ü+{HASHED}\.nii\.gz", name)


def test_a_long_path_keeps_its_first_folders_and_its_file() -> None:
    folders = [f"{number}" * 50 for number in range(1, 8)]
    name = safe_name("/".join([*folders, "scan.dcm"]))
    assert len(name.encode()) <= MAX_NAME
    assert re.fullmatch(rf"{folders[0]}/{folders[1]}/.*scan{HASHED}\.dcm", name)


def test_long_paths_that_differ_in_the_middle_stay_different() -> None:
    paths = [f"{'a' * 100}/{'b' * 100}/{middle}/{'c' * 100}/scan.png" for middle in "xyz"]
    assert len({safe_name(path) for path in paths}) == 3


@given(nasty_text)
@example("CON .txt")
@example("a/" * 200 + "b")
@example("." * 300 + "x")
@example("<\u0338.png")
def test_every_safe_name_is_valid_on_every_system(path: str) -> None:
    name = safe_name(path)
    assert 0 < len(name.encode()) <= MAX_NAME
    assert name == unicodedata.normalize("NFC", name)
    assert not PurePosixPath(name).is_absolute()
    windows = PureWindowsPath(name)
    assert not windows.drive
    assert not windows.root
    for part in name.split("/"):
        assert part not in ("", ".", "..")
        assert len(part.encode()) <= MAX_SEGMENT
        assert part[-1] not in " ."
        assert not PureWindowsPath(part).is_reserved()
        assert not set(part) & set('<>:"\\|?*')
        assert all(unicodedata.category(char) not in ("Cc", "Cs") for char in part)
        assert all(unicodedata.bidirectional(char)[-1:] not in ("E", "O", "I") for char in part)


@given(nasty_text)
@example("Ankara " + "göğüs röntgeni " * 8 + "4.sınıf")
def test_safe_name_is_idempotent(path: str) -> None:
    assert safe_name(safe_name(path)) == safe_name(path)


@given(st.lists(nasty_text, unique=True, max_size=20))
def test_different_paths_get_different_names(paths: list[str]) -> None:
    assert len({safe_name(path) for path in paths}) == len(paths)


def take_all(names: list[str]) -> list[str]:
    unique = UniqueNames()
    return [unique.take(name) for name in names]


def test_unique_names_stay_as_they_are() -> None:
    names = ["a/1.png", "a/2.png", "b/1.png", "a.png"]
    assert take_all(names) == names


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["a.png", "a.png", "a.png"], ["a.png", "a-2.png", "a-3.png"]),
        (["A.png", "a.PNG"], ["A.png", "a-2.PNG"]),
        (["x/A.png", "X/a.png"], ["x/A.png", "X/a-2.png"]),
        (["é", "e\u0301", "É"], ["é", "e\u0301-2", "É-3"]),
        (["straße", "STRASSE"], ["straße", "STRASSE-2"]),
        (["a-2.png", "a.png", "a.png"], ["a-2.png", "a.png", "a-3.png"]),
        (["a.nii.gz", "a.nii.gz"], ["a.nii.gz", "a-2.nii.gz"]),
        (["1.2.840", "1.2.840"], ["1.2.840", "1.2.840-2"]),
        (["x/1.png", "X", "x/2.png"], ["x/1.png", "X-2", "x/2.png"]),
        (["X", "x/1.png", "x/2.png", "x/y/3"], ["X", "x-2/1.png", "x-2/2.png", "x-2/y/3"]),
        (["X", "x/1.png", "x-2"], ["X", "x-2/1.png", "x-2-2"]),
    ],
)
def test_a_taken_name_gets_a_number(names: list[str], taken: list[str]) -> None:
    assert take_all(names) == taken


few_names = st.lists(
    st.lists(st.sampled_from(["a", "A", "a-2", "ä", "A\u0308", "b.png", "B.png"]), min_size=1)
    .map(lambda parts: parts[:4])
    .map("/".join),
    max_size=40,
)


@given(few_names)
def test_names_are_distinct_on_a_case_insensitive_file_system(names: list[str]) -> None:
    taken = [fold_name(name) for name in take_all(names)]
    folders = {name[:end] for name in taken for end, char in enumerate(name) if char == "/"}
    assert len(set(taken)) == len(taken)
    assert not folders & set(taken)


@given(few_names)
def test_unique_names_are_deterministic(names: list[str]) -> None:
    assert take_all(names) == take_all(names)


def test_a_thousand_equal_names_are_numbered_in_order() -> None:
    taken = take_all(["slice.dcm"] * 1000)
    assert taken == ["slice.dcm", *(f"slice-{number}.dcm" for number in range(2, 1001))]


def test_a_number_does_not_make_a_part_longer_than_allowed() -> None:
    assert take_all(["x" * MAX_SEGMENT] * 2)[1] == "x" * (MAX_SEGMENT - 2) + "-2"


def test_a_checksum_line_is_what_sha256sum_reads() -> None:
    assert checksum_line("0" * 64, "images/a b.png") == f"{'0' * 64}  images/a b.png\n"


@pytest.mark.parametrize(
    ("sha256", "name"),
    [
        ("0" * 63, "a"),
        ("A" * 64, "a"),
        ("0" * 64 + "\n", "a"),
        ("0" * 64, ""),
        ("0" * 64, "a\nb"),
        ("0" * 64, "a\rb"),
        ("0" * 64, "a\\b"),
    ],
)
def test_an_ambiguous_checksum_line_is_refused(sha256: str, name: str) -> None:
    with pytest.raises(ValueError, match="SHA256SUMS"):
        checksum_line(sha256, name)
