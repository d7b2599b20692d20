"""Broader terms: loaded, imported and edited without circles, and read at any depth."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from vocab.lookup import HIERARCHIES, VOCABULARIES, current_vocabularies, read_version
from vocab.models import AnatomicalArea, Modality
from vocab.services import load_terms, set_terms_active
from vocab.tests.factories import AreaFactory, LabelFactory, ModalityFactory
from vocab.tests.shipped import save_shipped_vocabularies

pytestmark = pytest.mark.django_db

HEAD = {"code": "head", "name": "Head"}
BRAIN = {"code": "brain", "name": "Brain", "broader": "head"}


def narrower(code: str, vocabulary: str = "area") -> str:
    """The codes of all that is narrower."""
    (ref,) = current_vocabularies().find(vocabulary, [code])[code]
    return " ".join(sorted(each.code for each in ref.narrower))


def broader(code: str) -> str:
    (ref,) = current_vocabularies().find("area", [code])[code]
    above = current_vocabularies().broader["area"].get(ref.id)
    return above.code if above else ""


def make_areas(**parents: str) -> None:
    for code, above in parents.items():
        AreaFactory(code=code, broader=AreaFactory(code=above) if above else None)


def put_below(code: str, above: str) -> None:
    AnatomicalArea.objects.filter(code=code).update(
        broader=AnatomicalArea.objects.get(code=above) if above else None
    )


# --- The shipped hierarchy ---
def test_the_shipped_hierarchy_goes_down_to_organs_and_kinds() -> None:
    save_shipped_vocabularies()
    assert "brain" in narrower("head").split()
    assert {"face", "sinus"} <= set(narrower("head").split())
    assert narrower("chest") == "heart lung mediastinum ribs"
    assert {"wrist", "knee"} <= set(narrower("extremity").split())
    assert narrower("xray", "modality") == "cr dx io mg px rg"
    assert narrower("ct", "modality") == "cbct"


@pytest.mark.parametrize("word", ["X-ray", "x-rays", "radiograph", "plain film", "XR", "CXR"])
def test_a_source_that_says_only_x_ray_means_one_term(word: str) -> None:
    save_shipped_vocabularies()
    found = current_vocabularies().find("modality", [word])[word]
    assert [ref.code for ref in found] == ["xray"]


# --- Loading ---
def test_a_broader_term_may_come_later_in_the_file_and_loading_again_changes_nothing() -> None:
    first = load_terms(vocabulary="area", terms=[BRAIN, HEAD])
    assert (first.added, first.changed) == (2, 0)
    assert narrower("head") == "brain"
    again = load_terms(vocabulary="area", terms=[BRAIN, HEAD])
    assert (again.added, again.changed, again.unchanged) == (0, 0, 2)


def test_a_catalog_from_before_gets_the_hierarchy() -> None:
    load_terms(vocabulary="area", terms=[HEAD, {**BRAIN, "broader": ""}])
    assert load_terms(vocabulary="area", terms=[HEAD, BRAIN]).changed == 1
    assert narrower("head") == "brain"
    load_terms(vocabulary="area", terms=[HEAD, {"code": "brain", "name": "Brain"}])
    assert narrower("head") == "", "what is no longer shipped goes, too"


@pytest.mark.parametrize("above", ["", "neck"])
def test_loading_keeps_a_curators_broader_term(above: str) -> None:
    terms = [HEAD, BRAIN, {"code": "neck", "name": "Neck"}]
    load_terms(vocabulary="area", terms=terms)
    put_below("brain", above)
    report = load_terms(vocabulary="area", terms=terms)
    assert (broader("brain"), report.changed, report.skipped) == (above, 0, [])


def test_terms_may_change_places() -> None:
    load_terms(vocabulary="area", terms=[HEAD, BRAIN])
    turned = [{"code": "head", "name": "Head", "broader": "brain"}, {**BRAIN, "broader": ""}]
    assert load_terms(vocabulary="area", terms=turned).changed == 2
    assert (broader("head"), broader("brain")) == ("brain", "")


def test_a_shipped_term_yields_to_a_curator_where_both_would_make_a_circle() -> None:
    load_terms(vocabulary="area", terms=[HEAD, {"code": "brain", "name": "Brain"}])
    put_below("head", "brain")
    report = load_terms(vocabulary="area", terms=[HEAD, BRAIN])
    assert broader("head") == "brain"
    (said,) = report.skipped
    assert said.startswith("head as the broader term of brain: This is a circle")
    put_below("head", "")
    assert load_terms(vocabulary="area", terms=[HEAD, BRAIN]).skipped == []
    assert broader("brain") == "head"


def test_an_alias_that_moves_to_another_term_leaves_the_first() -> None:
    cr = {"code": "cr", "name": "Computed radiography", "aliases": ["Radiograph", "CR image"]}
    load_terms(vocabulary="modality", terms=[cr])
    moved = [{**cr, "aliases": ["CR image"]},
             {"code": "xray", "name": "X-ray", "aliases": ["Radiograph"]}]  # fmt: skip
    assert load_terms(vocabulary="modality", terms=moved).changed == 1
    (found,) = current_vocabularies().find("modality", ["radiograph"]).values()
    assert [ref.code for ref in found] == ["xray"]
    assert load_terms(vocabulary="modality", terms=moved).changed == 0


# --- Importing ---
def import_areas(path: Path, content: str, vocabulary: str = "area") -> str:
    path.write_text(content, encoding="utf-8")
    out = StringIO()
    call_command("import_vocab", path, vocabulary=vocabulary, stdout=out)
    return out.getvalue()


def test_broader_terms_are_imported_from_csv_and_toml(tmp_path: Path) -> None:
    csv = "code,name,broader\nbrain,Brain,head\nhead,Head,\n"
    assert "2 added, 0 changed" in import_areas(tmp_path / "a.csv", csv)
    assert narrower("head") == "brain"
    assert "0 added, 0 changed, 2 unchanged" in import_areas(tmp_path / "a.csv", csv)
    toml = '[[term]]\ncode = "brain"\nbroader = ""\n'
    assert "0 added, 1 changed" in import_areas(tmp_path / "a.toml", toml)
    assert narrower("head") == ""


def test_what_is_wrong_with_a_broader_term_is_said_with_its_line(tmp_path: Path) -> None:
    make_areas(head="", brain="head")
    with pytest.raises(CommandError) as refusal:
        import_areas(tmp_path / "a.csv", "code,name,broader\nhead,,brain\nface,Face,haed\n")
    said = str(refusal.value)
    assert "nothing was changed" in said
    assert "line 2: broader: This is a circle, with “Head” below “Brain” and “Brain” below" in said
    assert "line 3: broader: there is no term “haed”" in said
    assert broader("head") == ""
    assert not AnatomicalArea.objects.filter(code="face").exists()


def test_other_vocabularies_have_no_broader_terms(tmp_path: Path) -> None:
    LabelFactory(code="mass")
    with pytest.raises(CommandError, match="there is no field “broader”"):
        import_areas(tmp_path / "l.csv", "code,broader\nnodule,mass\n", vocabulary="label")
    assert {"area", "modality", "view"} == HIERARCHIES < set(VOCABULARIES)


# --- Circles ---
def test_circles_of_any_length_are_refused() -> None:
    make_areas(body="", head="body", brain="head")
    for code, above in (("body", "body"), ("body", "head"), ("body", "brain")):
        term = AnatomicalArea.objects.get(code=code)
        term.broader = AnatomicalArea.objects.get(code=above)
        with pytest.raises(ValidationError, match="This is a circle") as refusal:
            term.full_clean()
        assert list(refusal.value.message_dict) == ["broader"]
    with pytest.raises(IntegrityError), transaction.atomic():
        put_below("body", "body")


def test_a_circle_from_two_edits_at_once_does_no_harm() -> None:
    make_areas(body="", head="body", brain="head", neck="body")
    put_below("body", "head")  # as if checked before the other edit was stored
    assert (narrower("body"), narrower("head")) == ("neck", "brain")
    assert broader("brain") == "head"


# --- Inactive and deleted terms ---
def test_what_is_below_an_inactive_term_still_belongs_to_those_above() -> None:
    make_areas(head="", face="head", sinus="face")
    set_terms_active(terms=AnatomicalArea.objects.filter(code="face"), is_active=False)
    assert (narrower("head"), broader("sinus")) == ("sinus", "head")
    set_terms_active(terms=AnatomicalArea.objects.filter(code="head"), is_active=False)
    assert broader("sinus") == ""
    set_terms_active(terms=AnatomicalArea.objects.filter(code__in=["face"]), is_active=True)
    assert (narrower("face"), broader("face")) == ("sinus", "")


def test_moving_an_inactive_term_is_noticed() -> None:
    make_areas(head="", neck="", face="head", sinus="face")
    set_terms_active(terms=AnatomicalArea.objects.filter(code="face"), is_active=False)
    assert narrower("head") == "sinus"
    version = read_version()
    put_below("face", "neck")
    assert read_version() > version
    assert (narrower("head"), narrower("neck")) == ("", "sinus")


def test_a_broader_term_is_not_deleted() -> None:
    xray = ModalityFactory(code="xray")
    cr = ModalityFactory(code="cr", broader=xray)
    with pytest.raises(ProtectedError):
        xray.delete()
    cr.delete()
    xray.delete()
    assert not Modality.objects.exists()


def test_names_say_what_is_included() -> None:
    make_areas(head="", brain="head", skull="head")
    (head,) = current_vocabularies().find("area", ["head"])["head"]
    assert str(head) == "Head, with Brain, Skull"
    assert (str(head.alone()), head.alone().value) == ("Head only", "head~only")
    brain: Any = head.narrower[0]
    assert (str(brain), brain.alone()) == ("Brain", brain)
