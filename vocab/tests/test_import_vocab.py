"""Terms of an operator's own: added and written, never removed, and safe from later loads."""

import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from vocab.lookup import find_terms
from vocab.models import Label, LabelAlias, License, Modality
from vocab.services import load_terms, own_fields
from vocab.signals import terms_changed
from vocab.tests.factories import AreaFactory, LabelFactory, ModalityFactory, add_alias

pytestmark = pytest.mark.django_db

CSV = """\
code,name,description,aliases
pleural-effusion,Pleural effusion,"Fluid, between the pleurae",Effusion|Hydrothorax
nodule,Nodule,,
"""
TOML = """\
[[term]]
code = "pleural-effusion"
name = "Pleural effusion"
aliases = ["Effusion"]

[[term]]
code = "nodule"
name = "Nodule"
"""


def import_vocab(
    path: Path, content: str | bytes, *, vocabulary: str = "label", dry_run: bool = False
) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = StringIO()
    call_command("import_vocab", path, vocabulary=vocabulary, dry_run=dry_run, stdout=out)
    return out.getvalue()


def refuse(path: Path, content: str | bytes, *, vocabulary: str = "label") -> str:
    with pytest.raises(CommandError) as refusal:
        import_vocab(path, content, vocabulary=vocabulary)
    assert "nothing was changed" in str(refusal.value)
    return str(refusal.value)


def find_label(word: str) -> list[str]:
    return [term.code for term in find_terms("label", [word])[word]]


# --- What is no file of terms ---
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a." * 60_000 + "a = 1", "more than 32 parts"),
        ("a = " + "[" * 100_000, "This is not TOML"),
        ("a = " + "9" * 6_000, "This is not TOML"),
        ('[[term]]\ncode = "x"\nname = "a\\u0000b"\n', "a text contains a NUL"),
    ],
)
def test_hostile_toml_is_one_sentence(tmp_path: Path, content: str, reason: str) -> None:
    assert reason in refuse(tmp_path / "labels.toml", content)


# --- What goes in ---
@pytest.mark.parametrize(("name", "content"), [("labels.csv", CSV), ("labels.toml", TOML)])
def test_terms_come_from_csv_and_toml(tmp_path: Path, name: str, content: str) -> None:
    assert "label: 2 added, 0 changed, 0 unchanged" in import_vocab(tmp_path / name, content)

    assert find_label("EFFUSION") == ["pleural-effusion"]
    assert "0 added, 0 changed, 2 unchanged" in import_vocab(tmp_path / name, content)


def test_a_csv_cell_may_hold_commas_and_several_aliases(tmp_path: Path) -> None:
    import_vocab(tmp_path / "labels.csv", CSV)

    term = Label.objects.get(code="pleural-effusion")
    assert term.description == "Fluid, between the pleurae"
    assert {alias.text for alias in term.aliases.all()} == {"Effusion", "Hydrothorax"}


def test_a_spreadsheets_csv_is_read(tmp_path: Path) -> None:
    """A byte order mark, capital column names, Windows line ends, empty lines."""
    content = "\ufeffCode,Name\r\n\r\nmass,Masse à côté\r\n,,\r\n".encode()

    import_vocab(tmp_path / "labels.csv", content)

    assert Label.objects.get().name == "Masse à côté"


def test_licences_have_their_own_fields(tmp_path: Path) -> None:
    csv = "code,name,allows_commercial_use,url\nours-1.0,Ours,true,https://example.org/ours\n"
    import_vocab(tmp_path / "licenses.csv", csv, vocabulary="license")

    licence = License.objects.get()
    assert licence.allows_commercial_use
    assert licence.url == "https://example.org/ours"
    assert "url" not in own_fields("label")


def test_the_file_wins_over_what_is_there_and_empty_cells_leave_it(tmp_path: Path) -> None:
    add_alias(LabelFactory(code="nodule", name="Node", description="Round."), "Knot")

    report = import_vocab(tmp_path / "labels.csv", "code,name,description\nnodule,Nodule,\n")

    term = Label.objects.get()
    assert (term.name, term.description) == ("Nodule", "Round.")
    assert [alias.text for alias in term.aliases.all()] == ["Knot"], "nothing is removed"
    assert "0 added, 1 changed" in report


def test_a_later_load_of_the_shipped_terms_undoes_nothing(tmp_path: Path) -> None:
    shipped = [{"code": "nodule", "name": "Nodule", "description": "Shipped."}]
    load_terms(vocabulary="label", terms=shipped)
    import_vocab(tmp_path / "labels.csv", "code,name,aliases\nnodule,Our nodule,Knot\n")

    load_terms(vocabulary="label", terms=[{**shipped[0], "description": "Shipped anew."}])

    term = Label.objects.get()
    assert (term.name, term.description) == ("Our nodule", "Shipped anew.")
    assert find_label("knot") == ["nodule"]


def test_an_alias_of_another_term_is_skipped_and_reported(tmp_path: Path) -> None:
    add_alias(LabelFactory(code="edema"), "Oedema")

    report = import_vocab(tmp_path / "l.csv", "code,name,aliases\nbrain,Brain,oedema|Swelling\n")

    assert "1 aliases skipped" in report
    assert "“oedema” for brain: it already means edema" in report
    assert find_label("oedema") == ["edema"]
    assert find_label("swelling") == ["brain"]


def test_a_modalitys_spelling_may_mean_several(tmp_path: Path) -> None:
    add_alias(ModalityFactory(code="cr"), "X-ray")

    import_vocab(tmp_path / "m.csv", "code,name,aliases\ndx,DX,X-ray\n", vocabulary="modality")

    found = find_terms("modality", ["x ray"])["x ray"]
    assert [term.code for term in found] == ["cr", "dx"]
    assert Modality.objects.count() == 2


def test_a_hidden_word_of_an_import_can_be_made_a_term(tmp_path: Path) -> None:
    LabelFactory(code="opacidad", name="Opacidad", is_active=False)

    import_vocab(tmp_path / "l.csv", "code,name,is_active\nopacidad,Opacity,true\n")

    assert find_label("opacity") == ["opacidad"]


def test_a_dry_run_reports_and_changes_nothing(tmp_path: Path) -> None:
    heard: list[object] = []
    terms_changed.connect(lambda sender, **kwargs: heard.append(sender), weak=False, dispatch_uid=1)
    try:
        report = import_vocab(tmp_path / "labels.csv", CSV, dry_run=True)
        assert not heard
        import_vocab(tmp_path / "labels.csv", CSV)
        assert heard == [Label], "what search made of the terms must be made anew"
    finally:
        terms_changed.disconnect(dispatch_uid=1)

    assert "2 added" in report
    assert "dry run" in report


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", "code,name,aliases,aliases_in.lung\nx,X,Wet lung,Edema|oedema\n"),
        ("l.toml", '[[term]]\ncode = "x"\nname = "X"\naliases = ["Wet lung"]\n'
                   'aliases_in.lung = ["Edema", "oedema"]\n'),
    ],
)  # fmt: skip
def test_an_alias_may_hold_in_one_area_only(tmp_path: Path, name: str, content: str) -> None:
    AreaFactory(code="lung")
    add_alias(LabelFactory(code="swelling"), "edema")
    assert "1 added" in import_vocab(tmp_path / name, content)
    assert "1 unchanged" in import_vocab(tmp_path / name, content)
    found = LabelAlias.objects.filter(term__code="x").values_list("text", "area__code")
    assert set(found) == {("Wet lung", None), ("Edema", "lung"), ("oedema", "lung")}
    out = StringIO()
    call_command("terms", "label", stdout=out)
    assert "(Edema, only in images of lung | Wet lung | oedema, only" in out.getvalue()


# --- What does not ---
@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("code,name\nnodule,Nodule\nBad Code!,Bad\n", "line 3: code: A code has lower-case"),
        ("code,name\nnodule,\n", "line 2: name: This field cannot be blank"),
        ("code,name\nnodule,Nodule\n\nnodule,Twice\n", "line 4: nodule is already at line 2"),
        ("code,nam\nnodule,Nodule\n", "line 2: there is no field “nam”; there are aliases, "),
        ("name\nNodule\n", "line 1: name the columns in it: code,name,description,aliases"),
        ("code,name\na,b,c\n", "line 2: 3 cells under 2 columns"),
        ('code,name\nx,"torn\n', "line 2: unexpected end of data"),
        ('code,name\n"a\nb",x\ny,"q"z\n', "line 4: "),
        ("code,name,aliases\nx,X,…|ok\n", "line 2: aliases: “…” has no letter or digit"),
        ("code,name\n,Nameless\n", "line 2: a term needs a code"),
        ("code,name\n", "has no terms"),
        ("", "line 1: name the columns"),
        (b"code,name\nx,caf\xe9\n", "line 2: this is not UTF-8"),
        ("code,name\n" + "x" * 65 + ",X\n", "line 2: code: Ensure this value has at most 64"),
    ],
)
def test_a_bad_csv_is_refused_with_its_line(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    assert says in refuse(tmp_path / "labels.csv", content)
    assert not Label.objects.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[[term]]\ncode = "x"\nname = X\n', "This is not TOML: Invalid value (at line 3"),
        ('# x\n[[term]]\ncode = "ok"\nname = "Ok"\n\n[[term]]\nname = "No"\n', "line 6: a term"),
        ('term = "x"\n', "under [[term]]"),
        ('[[term]]\ncode = "x"\nname = 5\n', "line 1: name is not a text"),
        ('[[term]]\ncode = "x"\nname = "X"\naliases = "one"\n', "line 1: aliases is not a list"),
        ('[[term]]\ncode = "x"\naliases_in = ["y"]\n', "Write aliases_in.lung = ["),
        ('[[term]]\ncode = "x"\naliases_in.lung = "y"\n', "Write aliases_in.lung = ["),
        ('[[term]]\ncode = "x"\nname = "X"\naliases_in.lunge = ["y"]\n', "no area “lunge”"),
        ('[[term]]\ncode = "x"\naliases_in.lung = ["\\u0000"]\n', "contains a NUL"),
        ('term = [{code = "x", name = "X", colour = "red"}]\n', "term x: there is no field"),
    ],
)
def test_a_bad_toml_is_refused_with_its_place(tmp_path: Path, content: str, says: str) -> None:
    assert says in refuse(tmp_path / "labels.toml", content)
    assert not Label.objects.exists()


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    content = "code,name\n" + "".join(f"Bad {n},x\n" for n in range(30))

    said = refuse(tmp_path / "labels.csv", content)

    assert said.count("\n") == 21
    assert said.endswith("and 10 more")


def test_a_bad_licence_field_is_named(tmp_path: Path) -> None:
    csv = "code,name,allows_commercial_use\nx,X,perhaps\n"

    said = refuse(tmp_path / "l.csv", csv, vocabulary="license")

    assert "line 2: allows_commercial_use: “perhaps” value must be either True or False" in said


def test_other_files_are_refused(tmp_path: Path) -> None:
    assert "neither .toml nor .csv" in refuse(tmp_path / "labels.xlsx", "PK")
    with pytest.raises(CommandError, match=r"gone\.csv: No such file"):
        call_command("import_vocab", tmp_path / "gone.csv", vocabulary="label")
    with pytest.raises(CommandError, match="invalid choice: 'colour'"):
        call_command("import_vocab", tmp_path / "x.csv", "--vocabulary=colour")


def test_aliases_may_differ_by_a_sign(tmp_path: Path) -> None:
    table = "code,name,aliases\namplified,Amplified,HER2+\nnot-amplified,Not amplified,HER2-\n"
    assert "skipped" not in import_vocab(tmp_path / "l.csv", table)
    assert find_label("her2 (+)") == ["amplified"]
    assert find_label("HER2-") == ["not-amplified"]
    assert "0 added, 0 changed, 2 unchanged" in import_vocab(tmp_path / "l.csv", table)


def test_an_alias_whose_key_lacks_its_sign_keeps_its_spelling(tmp_path: Path) -> None:
    LabelAlias.objects.create(term=LabelFactory(code="amplified"), text="HER2+", key="her2")
    table = "code,name,aliases\namplified,Amplified,HER2+\nother,Other,HER2+|HER2\n"
    report = import_vocab(tmp_path / "l.csv", table)
    assert "2 aliases skipped" in report
    assert find_label("HER2+") == ["amplified"]


def test_a_file_of_empty_lines_and_quotes_is_read_at_once(tmp_path: Path) -> None:
    terms = "".join(f'[[term]]\ncode = "{n}"\n' for n in range(10_000))
    name = 'name = "' + '\\"' * 20_000 + '"\n'
    before = time.process_time()

    said = refuse(tmp_path / "l.toml", "\n" * 60_000 + terms + name + '[[term]]\nname = "x"\n')

    assert time.process_time() - before < 5
    assert "line 80002: a term needs a code" in said
