"""The fast check of names agrees with `safe_name` and `UniqueNames`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collections_app.archive import UniqueNames, safe_name
from collections_app.selection.name_check import NameCheck

PART = st.text("aAbB01._- ~äÄ:éé", min_size=1, max_size=6)
PATH = st.lists(
    PART | st.sampled_from(["con", "CON.txt", "aux.", "x" * 130]), min_size=1, max_size=4
)


def must_change(*names: str) -> bool:
    check = NameCheck()
    for name in names:
        check.look_at([name.encode()])
    return check.must_change


@given(st.lists(PATH.map("/".join), max_size=12))
def test_names_that_pass_stay_unchanged_by_safe_name_and_unique_names(paths: list[str]) -> None:
    names = [f"images/rays/{path}" for path in paths]
    careful = UniqueNames()
    changed = [name for name in names if careful.take(safe_name(name)) != name]
    if changed:
        assert must_change(*names), changed


def test_ordinary_names_pass() -> None:
    assert not must_change(*(f"images/rays/deep/{n:05}_000.png" for n in range(3000)))
    assert not must_change("", "", "images/a/b.png"), "images without a file have no name"
    assert not must_change("images/a/" + "x" * 115 + ".png"), "long, but not too long"


@pytest.mark.parametrize(
    "names",
    [
        ["images/a/x.png", "images/a/X.png"],
        ["images/a/x", "images/a/x/y.png"],
        ["images/a/b/c/y.png", "images/A/B"],
        ["images/a/con.png"],
        ["images/a/../b.png"],
        ["images/a/x."],
        ["images/a/.git/config"],
        ["images/a/Head"],
        ["images/a/É.png", "images/a/é.png"],
        ["images/a/straße.png", "images/a/strasse.png"],
        ["images/É", "images/é/b.png"],
        ["images/a/" + "x" * 300],
    ],
)
def test_names_that_are_invalid_on_some_system_do_not_pass(names: list[str]) -> None:
    assert must_change(*names)
