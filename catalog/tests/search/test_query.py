"""The query parser, by table, with the vocabularies that are shipped; no database."""

import time
import tomllib
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from catalog.search.filter_choices import (
    ACCESS_CHOICES,
    AGE_CHOICES,
    FILE_CHOICES,
    SEX_CHOICES,
    YEAR_CHOICES,
    name_years,
)
from catalog.search.query import (
    Match,
    NamedDataset,
    ParsedQuery,
    Spellings,
    parse_query,
    remove_matches,
)
from catalog.search.query.phrases import PHRASES, STOP_WORDS
from vocab.lookup import VOCABULARIES
from vocab.services import DATA_DIR, SHIPPED_FILES
from vocab.spellings import read_spellings
from vocab.text import TermRef, normalize

CHOICES = {
    "sex": SEX_CHOICES,
    "age": AGE_CHOICES,
    "local": FILE_CHOICES,
    "access": ACCESS_CHOICES,
    "year": YEAR_CHOICES,
}
DATASETS = [
    NamedDataset(TermRef("dataset", number, slug, slug), slug, slug)
    for number, slug in enumerate(("lidc-idri", "tcga_brca", "lung_pet_ct_dx", "nih-chestxray14"))
]
TITLES = ["Chest images of Sao Paulo", "Duke cohort with tumur markers"]


def read_terms() -> Iterator[tuple[TermRef, dict]]:
    number = 0
    for vocabulary in VOCABULARIES:
        with (DATA_DIR / SHIPPED_FILES[vocabulary]).open("rb") as file:
            for term in tomllib.load(file)["term"]:
                number += 1
                yield TermRef(vocabulary, number, term["code"], term["name"]), term


def make_spellings(without: str = "") -> Spellings:
    """From the shipped vocabularies, names before aliases; the term ``without`` is switched off."""
    terms = [(ref, term) for ref, term in read_terms() if ref.code != without]
    keys: dict[str, list[TermRef]] = {}
    for vocabulary in VOCABULARIES:
        own: dict[str, list[TermRef]] = {}
        other: dict[str, list[TermRef]] = {}
        for ref, term in terms:
            if ref.vocabulary == vocabulary:
                for key in {normalize(ref.code), normalize(ref.name)}:
                    own.setdefault(key, []).append(ref)
                for alias in dict.fromkeys(each.text for each in read_spellings(term)):
                    other.setdefault(normalize(alias), []).append(ref)
        for key, refs in (other | own).items():
            keys.setdefault(key, []).extend(refs)
    commercial = [ref for ref, term in terms if term.get("allows_commercial_use")]
    return Spellings(
        keys, commercial=commercial, choices=CHOICES, known_words=TITLES, datasets=DATASETS
    )


SPELLINGS = make_spellings()
COMMERCIAL = ",".join(
    ref.code for ref, term in read_terms() if term.get("allows_commercial_use")
)  # fmt: skip
XRAY = "modality=xray"


def read(text: str) -> ParsedQuery:
    return parse_query(text, SPELLINGS)


def describe(parsed: ParsedQuery) -> str:
    """``name=code,code name=code``, as in a URL."""
    return " ".join(f"{match.name}={','.join(match.codes)}" for match in parsed.matches)


def check(text: str, filters: str, rest: str) -> None:
    parsed = read(text)
    assert (describe(parsed), parsed.search_text) == (filters, rest)


# --- Words that name a term ---
@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("chest xray pneumonia female", f"area=chest {XRAY} label=pneumonia sex=F"),
        ("prostate MRI", "area=prostate modality=mr"),
        ("CT of the lung, commercial use", f"modality=ct area=lung license={COMMERCIAL}"),
        ("brain mr tumour", "area=brain modality=mr label=tumor"),
        ("PET/CT head and neck", "modality=pt area=head-neck"),
        ("PET/MRI", "modality=pt"),
        ("nodule or mass", "label=nodule-mass,nodule,mass"),
        ("stroke MRI", "label=stroke,ischemic-stroke modality=mr"),
        ("dementia", "label=dementia,alzheimers-disease"),
        ("glioma", "label=glioma,low-grade-glioma,high-grade-glioma,glioblastoma"),
        ("kidney mass", "label=kidney-mass,kidney-tumor,wilms-tumor"),
        ("no HGG", "not_label=high-grade-glioma,glioblastoma"),
        ("without macular edema", "not_label=macular-edema,diabetic-macular-edema"),
        ("PET/CT", "modality=pt"),
        ("nodule/mass", "label=nodule-mass,nodule,mass"),
        ("PET, MRI", "modality=pt modality=mr"),
        ("no nodule/mass", "not_label=nodule-mass,nodule,mass"),
        ("PET and MRI", "modality=pt modality=mr"),
        ("no acute findings", "label=no-finding"),
        ("without nodule or mass", "not_label=nodule-mass,nodule,mass"),
        ("FDG-PET/CT lung", "modality=pt area=lung"),
        ("18F-FDG-PET/CT", "modality=pt"),
        ("lung cancer ct", "label=lung-tumor modality=ct"),
        ("covid chest ct", "label=covid-19 area=chest modality=ct"),
        ("knee x-rays", f"area=knee {XRAY}"),
        ("skin lesion", "area=skin"),
        ("histopathology breast", "modality=sm area=breast"),
        ("no finding", "label=no-finding"),
        ("Röntgen thorax", f"{XRAY} area=chest"),
        ("IRM cerveau", "modality=mr area=brain"),
        ("multiple sclerosis", "label=multiple-sclerosis-lesion"),
        ("CC BY-NC 4.0", "license=cc-by-nc-4.0"),
        ("images from the knee", "area=knee"),
        ("modality: CT, sex: F", "modality=ct sex=F"),
        ("alzheimer's disease", "label=alzheimers-disease"),
        ("patients with alzheimer's", "label=alzheimers-disease"),
        ("wsi", "modality=sm"),
    ],
)
def test_words_that_name_a_term_become_filters(text: str, filters: str) -> None:
    check(text, filters, "")


@pytest.mark.parametrize(
    ("text", "filters", "rest"),
    [
        ("PA chest", "view=pa area=chest", ""),
        ("frontal view", "view=frontal", ""),
        ("AP and lateral views of the chest", "view=ap view=lateral area=chest", ""),
        ("lateral chest x-ray", f"view=lateral area=chest {XRAY}", ""),
        ("MLO mammography", "view=mlo modality=mg", ""),
        ("oblique x-ray", "view=oblique", ""),
        # Not views, or not only.
        ("axial CT", "modality=ct", "axial"),
        ("oblique MRI", "modality=mr", "oblique"),
        ("CC BY 4.0", "license=cc-by-4.0", ""),
        ("500 cc", "", "500 cc"),
        ("ml", "", "ml"),
        ("LL", "", "LL"),
        ("L", "", "L"),
        ("frontal lobe", "", "frontal lobe"),
        ("lateral ventricles MRI", "modality=mr", "lateral ventricles"),
        ("literal", "", "literal"),
        ("lordosis", "", "lordosis"),
    ],
)
def test_views_and_what_only_looks_like_one(text: str, filters: str, rest: str) -> None:
    check(text, filters, rest)


@pytest.mark.parametrize(
    "text", ["x-ray", "x ray", "X_RAY", "xray", "X-Rays", "Röntgen", "ro\u0308ntgen"]
)
def test_case_accents_and_punctuation_do_not_matter(text: str) -> None:
    check(text, XRAY, "")


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("pleural effusions", "label=pleural-effusion"),
        ("lung nodules", "label=nodule"),
        ("hard exudate", "label=hard-exudates"),
        ("abdomens", "area=abdomen"),
        ("ultra sound", "modality=us"),
        ("covid 19", "label=covid-19"),
        ("head neck", "area=head-neck"),
        ("chest abdomen pelvis", "area=chest-abdomen-pelvis"),
    ],
)
def test_plurals_spaces_and_little_words_do_not_matter(text: str, filters: str) -> None:
    check(text, filters, "")
    assert not read(text).matches[0].corrected


def test_the_longest_spelling_wins() -> None:
    check("viral pneumonia", "label=viral-pneumonia", "")
    check("pneumonia viral load", "label=viral-pneumonia", "load")


def test_a_spelling_of_several_vocabularies_means_the_first() -> None:
    (match,) = read("pneumonia").matches
    assert match.name == "label"


def test_the_own_name_of_a_tag_wins_over_another_word_for_a_label() -> None:
    check("cancer", "tag=cancer", "")
    check("cancer MRI", "tag=cancer modality=mr", "")


@pytest.mark.parametrize(
    "text",
    [
        "LIDC",
        "TCGA-GBM",
        "1.3.6.1.4.1.14519.5.2.1",
        "00000001_000.png",
        "images/chest/0001.png",
        "10.7937/K9/TCIA.2016.ELN8YGLE",
        "CT-based",
        "multiple system atrophy",
    ],
)
def test_ids_paths_and_unknown_names_stay_whole(text: str) -> None:
    check(text, "", text)
    assert " ".join(read(text).rest) == text


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("TCGA-BRCA", "tcga_brca"),
        ("lung-pet-ct-dx", "lung_pet_ct_dx"),
        ("lung_pet_ct_dx", "lung_pet_ct_dx"),
    ],
)
def test_names_of_datasets_stay_whole(text: str, slug: str) -> None:
    check(text, f"dataset={slug}", "")


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("breast-MRI", "area=breast modality=mr"),
        ("chest/x-ray", f"area=chest {XRAY}"),
        ("covid-19/chest", "label=covid-19 area=chest"),
        ("lung_ct", "area=lung modality=ct"),
        ("chest,ct;3d(png)", "area=chest modality=ct tag=3d tag=png"),
    ],
)
def test_joined_words_are_split_if_every_part_means_something(text: str, filters: str) -> None:
    check(text, filters, "")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("", ""),
        ("   ", ""),
        ("of the with images", ""),
        ("--- ,, ...", ""),
        ('"" “ ” "-"', ""),
        ("🩻 🫁", ""),
        ("' OR 1=1", "1=1"),
        ("chest CT without contrast", "without contrast"),
        ("low dose chest CT", "low dose"),
        ("multiple chest CT", "multiple"),
    ],
)
def test_what_names_nothing_is_left_to_the_text_search(text: str, rest: str) -> None:
    assert read(text).search_text == rest


# --- Typos ---
@pytest.mark.parametrize(
    ("text", "filters", "corrected"),
    [
        ("mamografy", "modality=mg", "mammography"),
        ("pleural efusion", "label=pleural-effusion", "pleural effusion"),
        ("plueral effusion", "label=pleural-effusion", "pleural effusion"),
        ("plueral efusion", "label=pleural-effusion", "pleural effusion"),
        ("brest", "area=breast", "breast"),
        ("penumonia", "label=pneumonia", "pneumonia"),
        ("neumonia", "label=pneumonia", "pneumonia"),
        ("prostrate", "area=prostate", "prostate"),
        ("ultrasuond", "modality=us", "ultrasound"),
        ("segmantation", "task=segmentation", "segmentation"),
        ("limfoma", "label=lymphoma", "lymphoma"),
        ("femle", "sex=F", "female"),
        ("comercial use", f"license={COMMERCIAL}", "commercial use"),
        ("efusions", "label=pleural-effusion", "effusion"),
        ("brest-MRI", "area=breast modality=mr", ""),
    ],
)
def test_a_typo_is_corrected(text: str, filters: str, corrected: str) -> None:
    check(text, filters, "")
    if corrected:
        assert [match.corrected for match in read(text).matches] == [corrected]


def test_a_typo_in_one_term_leaves_the_others() -> None:
    check("brest tumor", "area=breast label=tumor", "")


@pytest.mark.parametrize(
    "text",
    [
        "lunh",  # too short to be sure
        "tumur",  # a word of a title
        "pneumonia1",
        "pneumon1a",
        "train",  # an ordinary word, one letter from brain
        "features",  # and from fractures
        "unhealthy",  # the opposite is no typo
        "noncancerous",
    ],
)
def test_words_that_may_be_right_are_not_corrected(text: str) -> None:
    assert not [match for match in read(text).matches if text == match.words]


def test_a_tie_between_two_meanings_is_left_alone() -> None:
    terms = {
        "fibroma": [TermRef("label", 1, "fibroma", "Fibroma")],
        "librama": [TermRef("label", 2, "librama", "Librama")],
        "myoma": [TermRef("label", 3, "myoma", "Myoma")],
        "lyoma": [TermRef("label", 4, "lyoma", "Lyoma")],
        "thorax": [TermRef("area", 5, "chest", "Chest")],
        "thoras": [TermRef("area", 5, "chest", "Chest"), TermRef("tag", 6, "t", "Thoras")],
    }
    spellings = Spellings(terms)

    assert parse_query("zyoma", spellings).rest == ("zyoma",)
    assert describe(parse_query("mioma", spellings)) == "label=myoma"
    assert describe(parse_query("thorac", spellings)) == "area=chest"


# --- Fixed phrases ---
@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("women", "sex=F"),
        ("Women's chest", "sex=F area=chest"),
        ("females", "sex=F"),
        ("male", "sex=M"),
        ("men over 50", "sex=M age=51-"),
        ("sex unknown", "sex=unknown"),
        ("local", "local=1"),
        ("chest CT on this server", "area=chest modality=ct local=1"),
        ("downloadable here", "local=1"),
        ("not local", "local=elsewhere,listed"),
        ("CT without local files", "modality=ct local=elsewhere,listed"),
        ("chest x-ray files elsewhere", f"area=chest {XRAY} local=elsewhere"),
        ("CT with an address", "modality=ct local=elsewhere"),
        ("listed only", "local=listed"),
        ("no files", "local=listed"),
        ("CT without a link", "modality=ct local=listed"),
        ("free for commercial use", f"license={COMMERCIAL}"),
        ("commercially usable", f"license={COMMERCIAL}"),
    ],
)
def test_fixed_phrases_become_filters(text: str, filters: str) -> None:
    check(text, filters, "")


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("open access", "access=open"),
        ("Open-Access chest CT", "access=open area=chest modality=ct"),
        ("CT, no registration", "modality=ct access=open"),
        ("without registration", "access=open"),
        ("registration not required", "access=open"),
        ("CT application not needed", "modality=ct access=open,registration"),
        ("without an application", "access=open,registration"),
        ("MRI no application needed", "modality=mr access=open,registration"),
        ("registration required", "access=registration"),
        ("application required", "access=application"),
        ("access not stated", "access=unknown"),
        ("without acess", ""),
        # A task and a word of tables, with and without a negation.
        ("registration of lung CT", "task=registration area=lung modality=ct"),
        ("lung application", "area=lung"),
    ],
)
def test_ways_of_access_become_filters(text: str, filters: str) -> None:
    assert describe(read(text)) == filters


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("after 2020", "2021 and later"),
        ("since 2019", "2019 and later"),
        ("Since 2019 on", "2019 and later"),
        ("from 2019 onwards", "2019 and later"),
        ("2019 or newer", "2019 and later"),
        ("not before 2019", "2019 and later"),
        ("before 2015", "2014 and earlier"),
        ("published before 2010", "before 2010"),
        ("before 2011", "2010 and earlier"),
        ("until 2015", "2015 and earlier"),
        ("no later than 2015", "2015 and earlier"),
        ("released in 2019 or later", "2019 and later"),
        ("2015 or older", "2015 and earlier"),
        ("older than 2015", "2014 and earlier"),
        ("between 2015 and 2018", "2015 to 2018"),
        ("from 2015 to 2018", "2015 to 2018"),
        ("between 2018 and 2015", "2015 to 2018"),
        ("published from 2015-2018", "2015 to 2018"),
        ("in 2019", "2019"),
        ("published in 2019", "2019"),
        ("from 2019", "2019"),
        ("year not stated", "not stated"),
    ],
)
def test_years_of_publication_become_filters(text: str, years: str) -> None:
    for query in (text, f"chest CT {text}", f"{text}, chest CT"):
        (match,) = [match for match in read(query).matches if match.name == "year"]
        assert (name_years(match.codes), match.words) == (years, text)
        assert read(query).search_text == ""


@pytest.mark.parametrize(
    "text",
    [
        "KiTS 2019",  # a name
        "2019",
        "ISLES-2018",
        "before 2005",  # years until 2009 are one value, so that this cannot be told
        "since 1999",
        "after 2019-12-01",  # a day
        "in 2019.pdf",
        "after 3000",
        "after 65",
    ],
)
def test_numbers_that_are_no_year_of_publication_stay_words(text: str) -> None:
    assert "year" not in describe(read(text))


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("after 2015 before 2018", {"2016", "2017"}),
        ("CT since 2016, until 2017", {"2016", "2017"}),
        ("in 2016 or in 2017", {"2016", "2017"}),
        ("in 2016, in 2017", {"2016", "2017"}),
    ],
)
def test_years_that_can_both_hold_narrow_each_other(text: str, years: set[str]) -> None:
    groups = [group for group in read(text).groups if group[0].name == "year"]
    found = [{code for match in group for code in match.codes} for group in groups]
    assert set.intersection(*found) == years


def test_years_and_access_of_datasets_are_words_or_tags_among_images() -> None:
    of_images = read("open access CT after 2020").only({"modality", "tag"})
    assert describe(of_images) == "tag=open-access modality=ct"
    assert [word.text for word in of_images.words] == ["after", "2020"]
    assert read("not 2019, 2020").only({"modality"}).search_text == "-2019 -2020"
    of_datasets = read("before 2015 or open access").only({"year", "access"})
    assert describe(of_datasets).endswith("access=open")


@pytest.mark.parametrize("text", ["metastases elsewhere", "x-ray with lines", "no tubes no lines"])
def test_words_of_findings_say_nothing_of_files(text: str) -> None:
    assert "local" not in describe(read(text))


@pytest.mark.parametrize(
    "text",
    [
        "non-commercial",
        "non-commercial use",
        "non commercial use",
        "noncommercial use",
        "noncomercial use",
        "no commercial use",
        "not for commercial use",
        "not licensed for commercial use",
        "commercial use not allowed",
        "commercial use prohibited",
        "without commercial use",
    ],
)
def test_refused_commercial_use_is_never_read_as_allowed(text: str) -> None:
    parsed = read(f"CT {text}")

    assert describe(parsed) == "modality=ct"
    assert "mercial" in parsed.search_text


@pytest.mark.parametrize(
    ("text", "ages", "name"),
    [
        ("60-69", "60-69", "60–69 years"),
        ("60–69 years", "60-69", "60–69 years"),
        ("aged 60 - 69", "60-69", "60–69 years"),
        ("40-50 years", "40-50", "40–50 years"),
        ("40 to 50 years", "40-50", "40–50 years"),
        ("from 40 to 50 years", "40-50", "40–50 years"),
        ("age 65-70", "65-70", "65–70 years"),
        ("between 40 and 50", "40-50", "40–50 years"),
        ("between 40 and 59 years old", "40-59", "40–59 years"),
        ("40-59 year olds", "40-59", "40–59 years"),
        ("over 65", "66-", "66 years and older"),
        ("older than 60", "61-", "61 years and older"),
        ("over the age of 65", "66-", "66 years and older"),
        ("over 65 years of age", "66-", "66 years and older"),
        ("> 60", "61-", "61 years and older"),
        (">60", "61-", "61 years and older"),
        ("age>60", "61-", "61 years and older"),
        (">=60", "60-", "60 years and older"),
        ("≥ 60", "60-", "60 years and older"),
        ("60 and older", "60-", "60 years and older"),
        ("110 years and older", "110-", "110 years and older"),
        ("at least 110 years", "110-", "110 years and older"),
        ("65+", "65-", "65 years and older"),
        ("65+ years", "65-", "65 years and older"),
        ("under 18", "0-17", "under 18 years"),
        ("younger than 18", "0-17", "under 18 years"),
        ("< 18", "0-17", "under 18 years"),
        ("<= 18 years", "0-18", "under 19 years"),
        ("up to 18 years", "0-18", "under 19 years"),
        ("18 or younger", "0-18", "under 19 years"),
        ("aged 65", "65-65", "65 years"),
        ("65 year old", "65-65", "65 years"),
        ("65-year-old", "65-65", "65 years"),
        ("65 yo", "65-65", "65 years"),
        ("65 y/o", "65-65", "65 years"),
        ("65 years", "65-65", "65 years"),
        ("under 6 months", "0m-5m", "under 6 months"),
        ("over 6 months", "7m-", "7 months and older"),
        ("6-12 months", "6m-12m", "6–12 months"),
        ("6 months old", "6m-6m", "6 months"),
        ("6 months to 5 years", "6m-71m", "6 months to 5 years"),
        ("under 1 year", "0-0", "under 1 year"),
        ("under 24 months", "0-1", "under 2 years"),
        ("newborn", "0m-0m", "under 1 month"),
        ("infants", "0-1", "under 2 years"),
        ("child", "2-12", "2–12 years"),
        ("adolescents", "13-18", "13–18 years"),
        ("teenagers", "13-18", "13–18 years"),
        ("young adults", "19-24", "19–24 years"),
        ("adult", "19-", "19 years and older"),
        ("middle-aged", "45-64", "45–64 years"),
        ("elderly", "65-", "65 years and older"),
        ("age unknown", "unknown", "Unknown"),
    ],
)
def test_ages_become_one_filter_that_says_exactly_what_is_meant(
    text: str, ages: str, name: str
) -> None:
    for typed in (f"{text} CT", f"women {text}, CT", f"CT {text}"):
        parsed = read(typed)
        assert [match.codes for match in parsed.matches if match.name == "age"] == [[ages]]
        assert [match.names for match in parsed.matches if match.name == "age"] == [(name,)]
        assert "modality=ct" in describe(parsed)
        assert not parsed.words


@pytest.mark.parametrize(
    "text",
    [
        "65-70",
        "69-60",
        "between 60 and 40",
        "60",
        "2010-2019",
        "60-69-70",
        "65.5 years",
        "over 65.5",
        "over 200",
        "over65",
        "over 60 GB",
        "over 60%",
        "over 60 patients",
        "over 3 T",
        "<5 mm",
        "slices < 5mm",
        "under 28 days",
        "under 30 weeks",
        "over 24 months",
        "last 5 years",
        "5 years later",
        "10 years of data",
        "at least 60",
        "-60-69",
    ],
)
def test_what_is_no_age_or_not_counted_stays_text(text: str) -> None:
    parsed = read(text)
    assert describe(parsed) == ""
    assert parsed.words


@pytest.mark.parametrize(
    ("text", "age", "excluded"),
    [
        ("not over 65", "0-65", "over 65"),
        ("no adults", "0-18", "adults"),
        ("-adults", "0-18", "adults"),
        ("non adults", "0-18", "adults"),
        ("without children", "0-1,13-", "children"),
        ("except newborns", "1m-", "newborns"),
        ("not under 18 months", "18m-", "under 18 months"),
        ("not 60-69", "0-59,70-", "60-69"),
    ],
)
def test_a_negated_age_means_all_other_ages(text: str, age: str, excluded: str) -> None:
    (match,) = read(text).matches
    assert (match.name, ",".join(match.codes)) == ("age", age)
    assert match.words == text
    assert [str(word).replace('"', "") for word in match.as_words()] == [f"-{excluded}"]


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("over 60 under 80", [["61-"], ["0-79"]]),
        ("adult under 40", [["19-"], ["0-39"]]),
        ("over 60 or under 18", [["61-", "0-17"]]),
        ("children and adults", [["2-12", "19-"]]),
        ("over 60 or age unknown", [["61-", "unknown"]]),
    ],
)
def test_ages_narrow_each_other_unless_that_is_impossible(
    text: str, groups: list[list[str]]
) -> None:
    found = [[code for match in group for code in match.codes] for group in read(text).groups]
    assert found == groups


def test_a_word_for_an_age_wins_over_a_tag_where_there_are_ages() -> None:
    check("children", "age=2-12", "")
    check("pediatric", "tag=pediatric", "")
    assert describe(read("children").only({"tag"}, dropping={"age"})) == "tag=pediatric"
    assert describe(parse_query("children", make_spellings(without="pediatric"))) == "age=2-12"


def test_the_values_have_names_for_people() -> None:
    parsed = read("female 60-69 ct local")

    assert [match.names for match in parsed.matches] == [
        ("Female",),
        ("60–69 years",),
        ("Computed tomography",),
        ("On this server",),
    ]


def test_phrases_stand_for_choices_that_exist() -> None:
    offered = {(name, code) for name, pairs in CHOICES.items() for code, _ in pairs}

    assert {(name, code) for name, *codes in PHRASES for code in codes} <= offered
    assert all(phrase == normalize(phrase) for phrases in PHRASES.values() for phrase in phrases)


def test_filters_that_are_not_offered_are_not_read() -> None:
    parsed = parse_query("female over 60 local commercial use", Spellings({}))

    assert parsed.matches == ()
    assert " ".join(parsed.rest) == "female over 60 local commercial use"


# --- Negation, alternatives, quotes ---
@pytest.mark.parametrize(
    ("text", "filters", "rest"),
    [
        ("no pneumonia", "not_label=pneumonia", ""),
        # As word processors, phones and papers write a minus, and programmers "not".
        *((f"ct {sign}pneumonia", "modality=ct not_label=pneumonia", "") for sign in "-−–—‐‑－!¬≠"),
        ("!ct", "", "-ct"),
        ('ct –"low dose"', "modality=ct", '-"low dose"'),
        ("pneumonia – effusion", "label=pneumonia label=pleural-effusion", ""),
        ("pneumonia! effusion", "label=pneumonia label=pleural-effusion", ""),
        ("CT without pneumonia", "modality=ct not_label=pneumonia", ""),
        ("-pneumonia CT", "not_label=pneumonia modality=ct", ""),
        ("-covid-19", "not_label=covid-19", ""),
        ("w/o pneumonia", "not_label=pneumonia", ""),
        ("no evidence of pneumonia", "not_label=pneumonia", ""),
        ("no penumonia", "not_label=pneumonia", ""),
        ("without pneumonia or effusion", "not_label=pneumonia,pleural-effusion", ""),
        ("without pneumonia or CT", "not_label=pneumonia modality=ct", ""),
        ("neither pneumonia nor effusion", "not_label=pneumonia,pleural-effusion", ""),
        (
            "neither a pneumonia nor an effusion",
            "not_label=pneumonia,pleural-effusion",
            "",
        ),
        (
            "neither with pneumonia nor with effusion",
            "not_label=pneumonia,pleural-effusion",
            "",
        ),
        ("ct no patients with pneumonia", "modality=ct not_label=pneumonia", ""),
        ("ct not containing pneumonia", "modality=ct not_label=pneumonia", ""),
        ("neither ct nor mri", "", "-ct -mri"),
        ("no ct or mri", "", "-ct -mri"),
        ("no ct or pneumonia", "label=pneumonia", "-ct"),
        ("ct not from kaggle", "modality=ct", "-kaggle"),
        ("not a ct", "", "-ct"),
        ("not patients over 65", "age=0-65", ""),
        ("ct with or without a pneumonia", "modality=ct", ""),
        ("with/without pneumonia ct", "modality=ct", ""),
        ("no focal pneumonia", "not_label=pneumonia", ""),
        ("no finding of pneumonia", "not_label=pneumonia", ""),
        ("without evidence of pneumonia", "not_label=pneumonia", ""),
        ("not diagnosed with pneumonia", "not_label=pneumonia", ""),
        ("pneumonia not caused by effusion", "label=pneumonia not_label=pleural-effusion", ""),
        ("ct not image-based", "modality=ct", "-image-based"),
        ("no on-site ct", "modality=ct", "-on-site"),
        ("-over 65", "age=0-65", ""),
        ("ct -over 65", "modality=ct age=0-65", ""),
        ("all but ct", "", "-ct"),
        ("not the ones with ct", "", "-ct"),
        ("non-pneumonia ct", "modality=ct", "non-pneumonia"),
        ("non-ct", "", "non-ct"),
        ("non-rigid ct", "modality=ct", "non-rigid"),
        ("non-penumonia", "", "non-penumonia"),
        ("images that don't have pneumonia", "not_label=pneumonia", ""),
        ("ct doesn’t show pneumonia", "modality=ct not_label=pneumonia", ""),
        ("does not contain ct", "", "-ct"),
        ("modalities other than ct", "", "-ct"),
        ("effusion apart from pneumonia", "label=pleural-effusion not_label=pneumonia", ""),
        ("no adults over 65", "age=0-18 age=66-", ""),
        ("no participants under 18", "age=18-", ""),
        ("excluding anyone under 18", "age=18-", ""),
        ("except those over 65", "age=0-65", ""),
        ("over 2,000 scans", "", "over 2 000"),
        ("over 10 000 scans", "", "over 10 000"),
        ("not under 18 or over 65", "age=18-65", ""),
        ("not over 65 or under 18", "age=18-65", ""),
        ("neither children nor elderly", "age=0-1,13-64", ""),
        ('ct no "low dose"', "modality=ct", '-"low dose"'),
        ('ct not with "low dose"', "modality=ct", '-"low dose"'),
        ('ct not in, "low dose"', "modality=ct", '-"low dose"'),
        ('ct without "low dose"', "modality=ct", '-"low dose"'),
        ('no ct "low dose"', "", '-ct "low dose"'),
        (
            "no pneumonia, effusion or edema",
            "not_label=pneumonia,pleural-effusion,pulmonary-edema",
            "",
        ),
        ("not ct, mri or from pet", "", "-ct -mri -pet"),
        ("no ct, pneumonia or effusion", "label=pneumonia label=pleural-effusion", "-ct"),
        ("no pneumonia, edema", "not_label=pneumonia label=pulmonary-edema", ""),
        ("no pneumonia, edema or ct", "not_label=pneumonia label=pulmonary-edema modality=ct", ""),
        ("edema minus pneumonia", "label=pulmonary-edema not_label=pneumonia", ""),
        ("ct exclude pneumonia, excl. mri", "modality=ct not_label=pneumonia", "-mri"),
        ("pneumonia, exclude siemens", "label=pneumonia", "-siemens"),
        ("patient no 5", "", "no 5"),
        # "or" joins what stands beside it, and nothing before that.
        (
            "edema w/o pneumonia/effusion",
            "label=pulmonary-edema not_label=pneumonia label=pleural-effusion",
            "",
        ),
        ("-pneumonia effusion", "not_label=pneumonia label=pleural-effusion", ""),
        ("no cancer", "not_label=malignant", ""),
        ("no tumor", "label=no-tumor", ""),
        ("not normal", "label=abnormal", ""),
        ("no chest", "", "-chest"),
        ("-chest ct", "modality=ct", "-chest"),
        ("not female", "", "-female"),
        ('ct -"low dose"', "modality=ct", '-"low dose"'),
        ("lung -nodule", "area=lung not_label=nodule", ""),
        ("ct no", "modality=ct", "no"),
        ("chest (thorax)-2d", "area=chest tag=2d", ""),
        ("ct,-pneumonia", "modality=ct not_label=pneumonia", ""),
        ("no pneumonia or any effusion", "not_label=pneumonia,pleural-effusion", ""),
        ("no signs of pneumonia or of effusion", "not_label=pneumonia,pleural-effusion", ""),
    ],
)
def test_negated_labels_are_excluded_and_nothing_else_is_negated(
    text: str, filters: str, rest: str
) -> None:
    check(text, filters, rest)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("CT or MRI", [["ct", "mr"]]),
        ("CT/MRI chest", [["ct", "mr"], ["chest"]]),
        ("CT chest MRI", [["ct", "mr"], ["chest"]]),
        ("male and female", [["M", "F"]]),
        ("pneumonia effusion", [["pneumonia"], ["pleural-effusion"]]),
        ("pneumonia or effusion", [["pneumonia", "pleural-effusion"]]),
        ("segmentation and detection", [["segmentation"], ["detection"]]),
        ("segmentation or detection", [["segmentation", "detection"]]),
        ("pneumonia or an effusion", [["pneumonia", "pleural-effusion"]]),
        ("pneumonia or CT", [["pneumonia"], ["ct"]]),
    ],
)
def test_matches_are_grouped_by_what_must_hold(text: str, groups: list[list[str]]) -> None:
    found = [[code for match in group for code in match.codes] for group in read(text).groups]
    assert found == groups


@pytest.mark.parametrize(
    ("text", "filters", "rest"),
    [
        ('"chest x-ray" CT', "modality=ct", '"chest x-ray"'),
        ("“pleural  effusion”", "", '"pleural effusion"'),
        ('chest" CT', "area=chest modality=ct", ""),
        ('"chest" "CT', "modality=ct", '"chest"'),
        ('pleural" effusion', "label=pleural-effusion", ""),
        ('"60-69" female', "sex=F", '"60-69"'),
    ],
)
def test_words_in_quotes_are_plain_words(text: str, filters: str, rest: str) -> None:
    check(text, filters, rest)


# --- Undoing ---
@pytest.mark.parametrize(
    ("text", "at", "without", "as_text"),
    [
        ("chest xray female", 1, "chest female", 'chest "xray" female'),
        ("CT of the lung, commercial use", 1, "CT of the, commercial use",
         'CT of the "lung", commercial use'),
        ("CT of the lung, commercial use", 2, "CT of the lung",
         'CT of the lung, "commercial use"'),
        ("lung, CT, knee", 1, "lung, knee", 'lung, "CT", knee'),
        ("chest-ct", 0, "ct", '"chest" ct'),
        ("chest-ct", 1, "chest", 'chest "ct"'),
        ("ct -pneumonia", 1, "ct", 'ct "-pneumonia"'),
        ("ct 110+", 1, "ct", 'ct "110+"'),
        ("pleural efusion", 0, "", '"pleural efusion"'),
        ("ACK -/PET chest", 0, "ACK -, chest", 'ACK -, "PET" chest'),
    ],
)  # fmt: skip
def test_a_match_can_be_removed_or_taken_as_text(
    text: str, at: int, without: str, as_text: str
) -> None:
    parsed = read(text)
    match = parsed.matches[at]

    assert parsed.without(match) == without
    assert parsed.as_text(match) == as_text


PARTS = sorted(
    {term["name"] for _, term in read_terms()}
    | {alias.text for _, term in read_terms() for alias in read_spellings(term)}
    | {phrase for phrases in PHRASES.values() for phrase in phrases}
    | {
        "commercial use",
        "non-commercial",
        "60-69",
        "over 60",
        "65-year-old",
        "6 months",
        "1.2.840",
        "TCGA-BRCA",
        "without",
    }
    | {"or", "of", "no", "-", '"', "efusion", "mamografy", "contrast", "lung-pet-ct-dx", "🩻"}
)
JOINTS = st.sampled_from([" ", " ", " ", ", ", "/", "-", " -", " or ", '"', " without ", "\u3000"])
QUERIES = st.lists(st.tuples(st.sampled_from(PARTS), JOINTS), max_size=7).map(
    lambda parts: "".join(f"{part}{joint}" for part, joint in parts)
)
ANYTHING = st.one_of(st.text(max_size=300), QUERIES)
QUICK = settings(max_examples=150, deadline=None)


@QUICK
@given(ANYTHING)
@example("½ ﬁbrosis ª ß İ ǅ x\u0302-ray \u0939\u093f\u0928\u094d\u0926\u0940")
@example("⼀ № ⑴ x＂ct＂ ㊙")
@example("\x00\u200b\ufeff\ud800")
def test_every_word_is_in_a_filter_or_in_the_rest(text: str) -> None:
    parsed = read(text)

    of_matches = [(match.start, match.end) for match in parsed.matches]
    spans = sorted([*of_matches, *((word.start, word.end) for word in parsed.words)])
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    for match in parsed.matches:
        assert parsed.text[match.start : match.end] == match.words
        assert match.values
        assert len(match.names) == len(match.values) == len(match.codes)
    for word in parsed.words:
        typed = parsed.text[word.start : word.end]
        plain = " ".join(typed.strip('"').split())
        # "not MRI" is an excluded word with all that says so.
        assert plain.endswith(word.text) if word.is_excluded else plain == word.text
    left = list(parsed.text)
    for start, end in spans:
        left[start:end] = " " * (end - start)
    assert set(normalize("".join(left)).split()) <= STOP_WORDS


def meanings(parsed: ParsedQuery) -> list[tuple[str, list[str], str]]:
    return [(match.name, match.codes, match.words) for match in parsed.matches]


def test_an_unpaired_quote_leaves_no_double_space_in_the_words_of_a_match() -> None:
    assert [match.words for match in read('2D without " ACK').matches] == ["2D", "without ACK"]


@QUICK
@given(QUERIES, st.data())
def test_taking_a_match_as_text_undoes_it_and_nothing_else(text: str, data: st.DataObject) -> None:
    parsed = read(text)
    if not parsed.matches:
        return
    match: Match = data.draw(st.sampled_from(parsed.matches))

    again = read(parsed.as_text(match))

    others = [
        meaning for meaning, m in zip(meanings(parsed), parsed.matches, strict=True) if m != match
    ]
    assert meanings(again) == others
    assert " ".join(match.words.split()) in again.rest
    assert sorted(again.rest) == sorted([*parsed.rest, " ".join(match.words.split())])


@pytest.mark.parametrize(
    ("text", "words", "left"),
    [
        ("cardiomegaly, nodule or edema", "edema", "cardiomegaly or nodule"),
        ("any of nodule, cardiomegaly, edema", "nodule", "cardiomegaly or edema"),
        ("CXR w/ effusion & w/o edema", "effusion", "CXR without edema"),
        ("not adults or nodule, children and MRI", "nodule", "not adults children MRI"),
        ("cardiomegaly or CT edema", "CT", "cardiomegaly edema"),
        ("lung CT cancer", "CT", "lung with cancer"),
        ("children or adults; frontal or MRI over 60", "adults", "or; frontal or MRI over 60"),
    ],
)
def test_without_a_term_the_others_mean_the_same(text: str, words: str, left: str) -> None:
    parsed = read(text)
    matches = [match for match in parsed.matches if match.words == words]
    assert remove_matches(parsed, matches, SPELLINGS) == left


@QUICK
@given(QUERIES, st.data())
def test_removing_a_match_removes_its_words(text: str, data: st.DataObject) -> None:
    parsed = read(text)
    if not parsed.matches:
        return
    match: Match = data.draw(st.sampled_from(parsed.matches))

    left = normalize(parsed.without(match)).split()

    before, after = parsed.text[: match.start], parsed.text[match.end :]
    assert left == [*normalize(before).split(), *normalize(after).split()]


def test_the_longest_queries_are_read_in_no_time() -> None:
    for text in ("qwzxr " * 50, "a b " * 75, "-a" * 150, "no pneumonia or " * 19, "x" * 300):
        started = time.perf_counter()
        read(text[:300])
        assert time.perf_counter() - started < 0.5
