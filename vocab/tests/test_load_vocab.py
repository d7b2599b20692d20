from io import StringIO

import pytest
from django.core.management import call_command

from vocab.lookup import VOCABULARIES, find_terms
from vocab.models import Label, LabelAlias, License, Modality
from vocab.services import load_terms, set_terms_active
from vocab.tests.factories import AreaFactory, LabelFactory
from vocab.tests.shipped import save_shipped_vocabularies

pytestmark = pytest.mark.django_db

MR = {
    "code": "mr",
    "name": "Magnetic resonance",
    "description": "Made by magnets.",
    "aliases": ["MRI", "MR imaging"],
}


def load_vocab() -> str:
    out = StringIO()
    call_command("load_vocab", stdout=out)
    return out.getvalue()


def test_the_shipped_vocabularies_load_whole_and_a_second_time_change_nothing() -> None:
    assert "skipped" not in load_vocab()
    assert all(model._default_manager.count() >= 20 for model in VOCABULARIES.values())
    for line in load_vocab().splitlines():
        assert " 0 added, 0 changed" in line


@pytest.mark.parametrize(
    ("vocabulary", "typed", "code"),
    [
        ("modality", "MRI", "mr"),
        ("modality", "mr imaging", "mr"),
        ("modality", "CXR", "xray"),
        ("modality", "x-ray", "xray"),
        ("modality", "CT scan", "ct"),
        ("area", "WHOLEBODY", "whole-body"),
        ("area", "thoracic", "chest"),
        ("label", "Effusion", "pleural-effusion"),
        ("label", "Pleural_Thickening", "pleural-thickening"),
        ("license", "CC BY 4.0", "cc-by-4.0"),
    ],
)
def test_what_people_type_finds_the_shipped_term(vocabulary: str, typed: str, code: str) -> None:
    save_shipped_vocabularies()
    assert code in {ref.code for ref in find_terms(vocabulary, [typed])[typed]}


@pytest.mark.parametrize(
    ("word", "more"),
    [
        ("dementia", "alzheimers-disease"), ("HGG", "glioblastoma"), ("dermatitis", "eczema"),
        ("myopia", "pathological-myopia"), ("PACG", "angle-closure"),
        ("granuloma", "calcified-granuloma"), ("macular edema", "diabetic-macular-edema"),
        ("white matter lesion", "multiple-sclerosis-lesion"), ("brain edema", "peritumoral-edema"),
        ("liver lesion", "liver-tumor"), ("renal mass", "kidney-tumor"),
        ("Enlarged PA", "pulmonary-hypertension"), ("hilar congestion", "hilar-enlargement"),
        ("fibrotic band", "pulmonary-fibrosis"), ("stroke lesion", "ischemic-stroke"),
        ("Atypical Appearance", "atypical-pneumonia"), ("boneanomaly", "bone-lesion"),
        ("air trapping", "copd-signs"),
        ("hemidiaphragm elevation", "diaphragmatic-eventration"),
    ],
)  # fmt: skip
def test_a_word_that_says_less_than_a_label_is_another(word: str, more: str) -> None:
    save_shipped_vocabularies()
    (found,) = find_terms("label", [word])[word]
    assert found.code != more


def test_the_licences_say_whether_commercial_use_is_permitted() -> None:
    load_vocab()
    commercial = dict(License.objects.values_list("code", "allows_commercial_use"))
    assert commercial["cc-by-4.0"] is True
    assert commercial["cc-by-nc-4.0"] is False


def test_loading_keeps_what_a_curator_changed() -> None:
    load_terms(vocabulary="modality", terms=[MR])
    term = Modality.objects.get(code="mr")
    term.name, term.is_active = "MR tomography", False
    term.save()
    term.aliases.get(text="MR imaging").delete()

    newer = {**MR, "name": "Magnetic resonance imaging", "description": "Made by strong magnets."}
    report = load_terms(vocabulary="modality", terms=[newer])

    term.refresh_from_db()
    assert (term.name, term.is_active) == ("MR tomography", False)
    assert term.description == "Made by strong magnets.", (
        "what nobody touched is brought up to date"
    )
    assert [alias.text for alias in term.aliases.all()] == ["MRI"]
    assert (report.added, report.changed) == (0, 1)


EDEMA = {"code": "pulmonary-edema", "name": "Pulmonary edema", "aliases": ["Edema", "wet lung"]}
EDEMA_IN_LUNG = {**EDEMA, "aliases": ["wet lung"], "aliases_in": {"lung": ["Edema"]}}


def aliases_of_label() -> set[tuple[str, str | None]]:
    return set(LabelAlias.objects.values_list("text", "area__code"))


@pytest.mark.parametrize("word", ["STROKE", "stroke_"])
def test_a_label_that_an_import_made_of_a_word_is_shown_once_it_is_shipped(word: str) -> None:
    made = LabelFactory(code="stroke", name=word, is_active=False)
    load_terms(vocabulary="label", terms=[{"code": "stroke", "name": "Stroke", "aliases": []}])
    made.refresh_from_db()
    assert (made.name, made.is_active) == ("Stroke", True)
    set_terms_active(terms=Label.objects.all(), is_active=False)
    load_terms(vocabulary="label", terms=[{"code": "stroke", "name": "Stroke", "aliases": []}])
    made.refresh_from_db()
    assert not made.is_active, "a curator has hidden it"


def test_what_a_curator_has_written_of_an_imports_label_stays_once_it_is_shipped() -> None:
    made = LabelFactory(code="stroke", name="Insult", description="Of the brain.", is_active=False)
    shipped = {"code": "stroke", "name": "Stroke", "description": "Shipped.", "aliases": []}
    load_terms(vocabulary="label", terms=[shipped])
    made.refresh_from_db()
    assert (made.name, made.description, made.is_active) == ("Insult", "Of the brain.", True)


def test_an_alias_that_was_shipped_for_all_images_moves_to_its_area() -> None:
    AreaFactory(code="lung")
    load_terms(vocabulary="label", terms=[EDEMA])
    report = load_terms(vocabulary="label", terms=[EDEMA_IN_LUNG])
    assert (report.changed, aliases_of_label()) == (1, {("wet lung", None), ("Edema", "lung")})
    assert load_terms(vocabulary="label", terms=[EDEMA_IN_LUNG]).unchanged == 1
    load_terms(vocabulary="label", terms=[EDEMA])
    assert aliases_of_label() == {("wet lung", None), ("Edema", None)}


def test_one_that_a_curator_removed_or_gave_another_area_stays_so() -> None:
    eye = [AreaFactory(code="lung"), AreaFactory(code="eye")][1]
    load_terms(vocabulary="label", terms=[EDEMA])
    LabelAlias.objects.filter(text="Edema").update(area=eye)
    LabelAlias.objects.filter(text="wet lung").delete()
    in_lung = {"code": "pulmonary-edema", "name": "Pulmonary edema", "aliases": [],
               "aliases_in": {"lung": ["Edema", "wet lung"]}}  # fmt: skip
    for _ in range(2):
        load_terms(vocabulary="label", terms=[in_lung])
        assert aliases_of_label() == {("Edema", "eye")}


def test_a_new_field_is_added_to_existing_terms() -> None:
    load_terms(vocabulary="modality", terms=[{"code": "mr", "name": "MR"}])
    load_terms(
        vocabulary="modality", terms=[{"code": "mr", "name": "MR", "description": "Magnets."}]
    )
    assert Modality.objects.get(code="mr").description == "Magnets."


def test_a_shipped_alias_yields_to_the_one_of_a_curator() -> None:
    load_terms(
        vocabulary="label", terms=[{"code": "edema", "name": "Edema", "aliases": ["Oedema"]}]
    )
    report = load_terms(
        vocabulary="label",
        terms=[{"code": "brain-edema", "name": "Brain edema", "aliases": ["oedema"]}],
    )
    assert report.skipped == ["“oedema” for brain-edema: it already means edema"]
    assert Label.objects.get(code="brain-edema").aliases.count() == 0
