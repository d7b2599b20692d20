"""A source's words become terms: known ones are found, unknown ones are kept and reported."""

import pytest

from catalog.importers import terms
from catalog.importers.options import Listeners
from catalog.importers.rows import BadRow, ImageRow, ImportStopped, LabelRow
from catalog.importers.store import store_images
from catalog.management.report import format_findings
from catalog.models import Dataset, Image, ImageLabel
from catalog.tests.factories import DatasetFactory
from catalog.tests.importers.import_rows import row
from catalog.tests.profiles.test_profiles import assert_profiles_are_true
from vocab.models import Label, License
from vocab.tests.factories import (
    AreaFactory,
    LabelFactory,
    LicenseFactory,
    ModalityFactory,
    add_alias,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset() -> Dataset:
    made: Dataset = DatasetFactory(slug="rays")
    return made


def labeled(*labels: LabelRow | str) -> ImageRow:
    return row("a", labels=tuple(LabelRow(x) if isinstance(x, str) else x for x in labels))


def stored_labels() -> list[tuple]:
    given = ImageLabel.objects.order_by("label__code")
    return list(given.values_list("label__code", "finding", "confidence", "metadata_json"))


# --- Labels ---
def findings(dataset: Dataset, *words: str | LabelRow) -> list[tuple[str, str]]:
    """What each word is stored as, each of an image of its own: label and finding."""
    labels = [LabelRow(word) if isinstance(word, str) else word for word in words]
    store_images(dataset=dataset, rows=[row(f"{n:02}", labels=(x,)) for n, x in enumerate(labels)])
    given = ImageLabel.objects.order_by("image__source_id")
    return list(given.values_list("label__name", "finding"))


def test_labels_that_differ_by_a_sign_are_different_labels(dataset: Dataset) -> None:
    words = ["HER2+", "HER2-", "Grade <2", "Grade >2", "Grade 2", "Mass/nodule", "mass nodule"]
    assert findings(dataset, *words) == [(word, "positive") for word in words]
    codes = set(Label.objects.values_list("code", flat=True))
    assert {"her2-plus", "her2-minus", "grade-below-2", "grade-above-2", "grade-2"} <= codes
    assert findings(dataset, *words) == [(word, "positive") for word in words], "the second time"
    assert len(codes) == Label.objects.count()


def test_a_word_states_the_finding_of_a_known_label(dataset: Dataset) -> None:
    LabelFactory(code="covid-19", name="COVID-19")
    words = {
        "COVID-19?": "uncertain", "? covid-19": "uncertain", "COVID-19 (?)": "uncertain",
        "COVID-19 (-)": "negative", "COVID-19 -": "negative", "COVID-19 –": "negative",
        "neg COVID-19": "negative", "negative for COVID-19": "negative",
        "COVID-19_neg": "negative", "no COVID-19": "negative",
        "No finding of COVID-19": "negative", "no_covid_19": "negative",
        "COVID-19 (+)": "positive", "COVID-19 positive": "positive",
    }  # fmt: skip
    assert findings(dataset, *words) == [("COVID-19", each) for each in words.values()]
    kept = ImageLabel.objects.order_by("image__source_id").values_list("metadata_json", flat=True)
    assert list(kept) == [{"word": word} for word in words]
    assert_profiles_are_true()


def test_what_states_nothing_about_a_known_label_stays_a_word_of_its_own(dataset: Dataset) -> None:
    LabelFactory(code="mass", name="Mass")
    LabelFactory(code="no-finding", name="No finding")
    words = ["Mass-", "no mass?", "no masses", "Nodule?", "no change", "Massive"]
    assert findings(dataset, *words, "no finding") == [
        *((word, "positive") for word in words), ("No finding", "positive"),
    ]  # fmt: skip


def test_a_double_negation_is_not_guessed(dataset: Dataset) -> None:
    LabelFactory(code="mass", name="Mass")
    told = [LabelRow("no mass", "negative"), LabelRow("Mass?", "uncertain"), LabelRow("no mass")]
    assert findings(dataset, *told) == [
        ("no mass", "negative"), ("Mass", "uncertain"), ("Mass", "negative"),
    ]  # fmt: skip


def test_every_spelling_is_one_label_and_the_sources_word_is_kept(dataset: Dataset) -> None:
    effusion = LabelFactory(code="effusion", name="Pleural effusion")
    add_alias(effusion, "fluid in the chest")
    words = ["effusion", "Pleural effusion", "PLEURAL_EFFUSION", " fluid in the Chest "]
    rows = [row(str(n), labels=(LabelRow(word),)) for n, word in enumerate(words)]
    report = store_images(dataset=dataset, rows=rows)
    kept = ImageLabel.objects.order_by("image__source_id").values_list("metadata_json", flat=True)
    assert list(kept) == [
        {"word": "effusion"}, {}, {"word": "PLEURAL_EFFUSION"}, {"word": "fluid in the Chest"}
    ]  # fmt: skip
    assert set(ImageLabel.objects.values_list("label", flat=True)) == {effusion.pk}
    assert report.new_labels == {}
    assert report.renamed_labels == {"fluid in the Chest": "Pleural effusion"}
    assert "  fluid in the Chest: Pleural effusion" in [*format_findings(report)]


def test_a_code_wins_over_a_name_and_a_name_over_an_alias(dataset: Dataset) -> None:
    first = LabelFactory(code="one", name="Two")
    second = LabelFactory(code="two", name="Three")
    third = LabelFactory(code="three-3", name="Four")
    add_alias(third, "three")
    rows = [row(word, labels=(LabelRow(word),)) for word in ("one", "two", "three", "four")]
    store_images(dataset=dataset, rows=rows)
    found = ImageLabel.objects.order_by("image_id").values_list("image__source_id", "label")
    assert dict(found) == {
        "one": first.pk, "two": second.pk, "three": second.pk, "four": third.pk
    }  # fmt: skip


def test_words_for_one_label_are_joined_and_the_best_finding_counts(dataset: Dataset) -> None:
    LabelFactory(code="effusion", name="Effusion")
    say = LabelRow
    rows = [
        labeled(say("effusion", "negative"), say("Effusion", "positive", 0.4),
                say("EFFUSION", "positive", 0.7), say("Effusion", "uncertain", 0.9)),
    ]  # fmt: skip
    store_images(dataset=dataset, rows=rows)
    words = {"words": ["effusion", "Effusion", "EFFUSION"]}
    assert stored_labels() == [("effusion", "positive", 0.7, words)]

    store_images(dataset=dataset, rows=[labeled(say("effusion", "negative", 0.8),
                                                say("Effusion", "uncertain"))])  # fmt: skip
    words = {"words": ["effusion", "Effusion"]}
    assert stored_labels() == [("effusion", "uncertain", None, words)]

    store_images(dataset=dataset, rows=[labeled("Effusion", "Effusion")])
    assert stored_labels() == [("effusion", "positive", None, {})]
    assert_profiles_are_true()


def test_only_positive_findings_are_filtered_by(dataset: Dataset) -> None:
    positive = LabelFactory(code="a")
    rows = [labeled("a", LabelRow("b", "uncertain"), LabelRow("c", "negative", 0.1))]
    store_images(dataset=dataset, rows=rows)
    assert Image.objects.get().profile.label_ids == [positive.pk]  # type: ignore[union-attr]
    assert [each[1] for each in stored_labels()] == ["positive", "uncertain", "negative"]
    assert_profiles_are_true()


def test_words_without_a_term_become_inactive_terms_and_are_listed(dataset: Dataset) -> None:
    rows = [
        row("a", labels=(LabelRow("Costophrenic angle blunting"), LabelRow("Ürges Zeug"))),
        row("b", labels=(LabelRow("costophrenic-angle_blunting"),)),
        row("c", labels=(LabelRow("肺炎"),)),
    ]
    report = store_images(dataset=dataset, rows=rows)
    assert report.new_labels == {"Costophrenic angle blunting": 2, "Ürges Zeug": 1, "肺炎": 1}
    labels = {label.name: label for label in Label.objects.all()}
    assert len(labels) == 3
    assert not any(label.is_active for label in labels.values())
    assert labels["Costophrenic angle blunting"].code == "costophrenic-angle-blunting"
    assert labels["Ürges Zeug"].code == "urges-zeug"
    assert labels["肺炎"].code.startswith("label-")
    for label in labels.values():
        label.full_clean()
    again = store_images(dataset=DatasetFactory(), rows=rows)
    assert again.new_labels == report.new_labels, "every dataset that meets them says so"
    assert Label.objects.count() == 3


@pytest.mark.parametrize(
    "word", ["ma\x1b[2Jss", "mass\nedema", "ma\u202ess", "ma\x9bss", "a\u200bb"]
)
def test_a_word_with_control_characters_is_no_label(dataset: Dataset, word: str) -> None:
    rejected: list[BadRow] = []
    rows = [row("a", labels=(LabelRow(word),)), row("b", labels=(LabelRow("left\u00a0mass"),))]
    store_images(dataset=dataset, rows=rows, listeners=Listeners(on_reject=rejected.append))
    assert [(bad.source_id, bad.column) for bad in rejected] == [("a", "labels")]
    assert "It contains control characters" in rejected[0].reason
    assert Label.objects.get().name == "left\u00a0mass"


def test_a_term_that_curators_switched_off_is_used_and_stays_off(dataset: Dataset) -> None:
    hidden = LabelFactory(code="nothing", name="No Finding", is_active=False)
    add_alias(hidden, "normal")
    rows = [row(word, labels=(LabelRow(word),)) for word in ("nothing", "no finding", "Normal")]
    report = store_images(dataset=dataset, rows=rows)
    assert report.new_labels == {"No Finding": 3}, "it is hidden"
    assert set(ImageLabel.objects.values_list("label", flat=True)) == {hidden.pk}
    hidden.refresh_from_db()
    assert not hidden.is_active


def test_an_alias_of_an_area_wins_there_over_a_name(dataset: Dataset) -> None:
    """As when a curator activates the word of a dataset of another area."""
    lung, eye = AreaFactory(code="lung"), AreaFactory(code="eye")
    add_alias(LabelFactory(code="pulmonary-edema"), "edema", area=lung)
    LabelFactory(code="edema", name="edema")
    words = [row(area.code, area=area.code, labels=(LabelRow("edema"),)) for area in (lung, eye)]
    store_images(dataset=dataset, rows=words)
    found = ImageLabel.objects.values_list("image__source_id", "label__code")
    assert dict(found) == {"lung": "pulmonary-edema", "eye": "edema"}


def test_an_area_that_is_not_understood_is_not_that_of_the_dataset(dataset: Dataset) -> None:
    dataset.area = AreaFactory(code="lung")
    dataset.save()
    add_alias(LabelFactory(code="pleural-effusion"), "effusion", area=dataset.area)
    words = {"of the dataset": "", "unknown": "pericardium"}
    rows = [row(key, area=word, labels=(LabelRow("effusion"),)) for key, word in words.items()]
    report = store_images(dataset=dataset, rows=rows)
    found = ImageLabel.objects.values_list("image__source_id", "label__code")
    assert dict(found) == {"of the dataset": "pleural-effusion", "unknown": "effusion"}
    assert set(report.labels_elsewhere) == {"effusion"}


def test_a_hidden_term_has_its_alias_of_an_area_there_only(dataset: Dataset) -> None:
    lung, eye = AreaFactory(code="lung"), AreaFactory(code="eye")
    add_alias(LabelFactory(code="pulmonary-edema", is_active=False), "edema", area=lung)
    words = [row(area.code, area=area.code, labels=(LabelRow("edema"),)) for area in (lung, eye)]
    for _ in range(2):
        store_images(dataset=dataset, rows=words)
        found = ImageLabel.objects.values_list("image__source_id", "label__code")
        assert dict(found) == {"lung": "pulmonary-edema", "eye": "edema"}


def test_a_word_that_may_mean_two_areas_is_not_guessed(dataset: Dataset) -> None:
    head = AreaFactory(code="head")
    for code, label in (("brain", "intracranial"), ("eye", "retinal")):
        area = AreaFactory(code=code, broader=head)
        add_alias(LabelFactory(code=label), "hemorrhage", area=area)
    words = [row(code, area=code, labels=(LabelRow("hemorrhage"),)) for code in ("head", "eye")]
    report = store_images(dataset=dataset, rows=words)
    found = ImageLabel.objects.values_list("image__source_id", "label__code")
    assert dict(found) == {"head": "hemorrhage", "eye": "retinal"}
    both = "Intracranial in images of Brain or Retinal in images of Eye"
    assert report.labels_elsewhere == {"hemorrhage": both}


def test_codes_of_new_terms_are_unique(dataset: Dataset) -> None:
    """Two words can differ by more than what fits into a code."""
    LabelFactory(code="lung-mass", name="Something else")
    long = "x" * 100
    words = [f"{long} one", f"{long} two", "lung mass 肺"]
    store_images(dataset=dataset, rows=[labeled(*words)])
    codes = {each.name: each.code for each in Label.objects.filter(is_active=False)}
    assert set(codes) == set(words)
    assert len(set(codes.values())) == 3
    assert codes["lung mass 肺"] == "lung-mass-2"
    assert all(len(code) <= 64 for code in codes.values())


def test_a_column_with_too_many_new_words_is_not_read_as_labels(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terms, "MAX_NEW_LABELS", 10)
    rows = [row(str(n), labels=(LabelRow(f"patient {n}"),)) for n in range(11)]
    with pytest.raises(ImportStopped, match=r"More than 10 labels .* Check which column"):
        store_images(dataset=dataset, rows=rows)
    assert not Label.objects.exists()
    store_images(dataset=dataset, rows=rows[:10])


def test_every_image_may_have_its_own_confidence(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many sets of labels there are, few of them are kept in memory."""
    monkeypatch.setattr("catalog.importers.encoding.MAX_KNOWN_SETS", 10)
    LabelFactory(code="mass", name="Mass")
    rows = [row(str(n), labels=(LabelRow("Mass", confidence=n / 100),)) for n in range(100)]
    store_images(dataset=dataset, rows=rows)
    stored = ImageLabel.objects.values_list("image__source_id", "confidence")
    assert dict(stored) == {str(n): n / 100 for n in range(100)}


# --- Modalities and areas ---
def test_modalities_and_areas_are_found_by_any_spelling(dataset: Dataset) -> None:
    mr, head = ModalityFactory(code="mr", name="Magnetic resonance"), AreaFactory(code="head")
    add_alias(mr, "MRI")
    add_alias(head, "skull")
    rows = [row(word, modality=word, area="SKULL") for word in ("MR", "mri", "magnetic resonance")]
    report = store_images(dataset=dataset, rows=rows)
    assert set(Image.objects.values_list("modality", "area")) == {(mr.pk, head.pk)}
    assert report.unknown_words == {}


def test_unknown_words_stay_in_the_metadata_and_are_counted(dataset: Dataset) -> None:
    ModalityFactory(code="switched-off", is_active=False)
    rows = [
        row("a", modality="XYZ", area="left thing", metadata={"k": 1}),
        row("b", modality="XYZ"),
        row("c", modality="XYZ", metadata={"modality": "as the source says"}),
        row("d", modality="switched-off"),
    ]
    report = store_images(dataset=dataset, rows=rows)
    assert report.unknown_words == {
        ("modality", "XYZ"): 3, ("area", "left thing"): 1, ("modality", "switched-off"): 1
    }  # fmt: skip
    assert dict(Image.objects.values_list("source_id", "metadata_json")) == {
        "a": {"k": 1, "modality": "XYZ", "area": "left thing"},
        "b": {"modality": "XYZ"},
        "c": {"modality": "as the source says"},
        "d": {"modality": "switched-off"},
    }
    assert Image.objects.filter(modality=None, area=None).count() == 4


def test_a_word_that_is_explained_later_is_understood_by_the_next_import(dataset: Dataset) -> None:
    rows = [row("a", modality="XYZ")]
    store_images(dataset=dataset, rows=rows)
    add_alias(ModalityFactory(code="ct"), "xyz")
    report = store_images(dataset=dataset, rows=rows)
    assert (report.changed, report.unknown_words) == (1, {})
    image = Image.objects.select_related("modality").get()
    assert (image.modality.code, image.metadata_json) == ("ct", {})  # type: ignore[union-attr]
    assert_profiles_are_true()


def stored_modality(dataset: Dataset, word: str) -> str | None:
    """The code of the modality that the word became."""
    report = store_images(dataset=dataset, rows=[row("a", modality=word)])
    assert report.rejected == 0
    modality = Image.objects.select_related("modality").get().modality
    return modality.code if modality else None


def test_of_several_modalities_that_a_word_means_the_datasets_own_counts(dataset: Dataset) -> None:
    for code in ("cr", "dx"):
        add_alias(ModalityFactory(code=code), "X-ray")
    dataset.modalities.set([ModalityFactory(code="dx"), ModalityFactory(code="ct")])
    assert stored_modality(dataset, "X-Ray") == "dx"
    assert stored_modality(dataset, "CR") == "cr", "a word that means one term is no question"


def test_otherwise_it_is_the_general_modality(dataset: Dataset) -> None:
    for code in ("cr", "dx", "xray"):
        add_alias(ModalityFactory(code=code), "X-ray")
    assert stored_modality(dataset, "X-ray") == "xray"
    dataset.modalities.set([ModalityFactory(code="dx"), ModalityFactory(code="cr")])
    assert stored_modality(dataset, "X-ray") == "xray", "it may be either"


def test_without_a_general_modality_it_is_unknown_and_the_report_says_why(dataset: Dataset) -> None:
    for code in ("cr", "dx"):
        add_alias(ModalityFactory(code=code), "X-ray")
    report = store_images(dataset=dataset, rows=[row("a", modality="X-ray")])
    assert report.unknown_words == {("modality", "X-ray, which may mean cr, dx"): 1}
    image = Image.objects.get()
    assert (image.modality, image.metadata_json) == (None, {"modality": "X-ray"})


# --- Licences ---
def test_an_image_has_the_licence_that_its_row_states(dataset: Dataset) -> None:
    by, nc = LicenseFactory(code="cc-by-4.0"), LicenseFactory(code="cc-by-nc-4.0")
    add_alias(nc, "CC BY-NC")
    dataset.license = by
    dataset.save()
    rows = [row("a", license="CC-BY 4.0"), row("b", license="cc by-nc"), row("c")]
    rows += [row("d", license="ask Jim"), row("e", license="ask Jim")]
    report = store_images(dataset=dataset, rows=rows)
    assert report.unknown_words == {("license", "ask Jim"): 2}
    assert dict(Image.objects.values_list("source_id", "license__code")) == {
        "a": "cc-by-4.0", "b": "cc-by-nc-4.0", "c": None, "d": "not-stated", "e": "not-stated",
    }  # fmt: skip
    assert Image.objects.get(source_id="d").metadata_json == {"license": "ask Jim"}
    assert not License.objects.get(code="not-stated").is_active
    assert_profiles_are_true()
    assert store_images(dataset=dataset, rows=rows).unchanged == 5

    add_alias(by, "ask Jim")
    assert store_images(dataset=dataset, rows=rows).changed == 2
    assert Image.objects.filter(license=by).count() == 3
