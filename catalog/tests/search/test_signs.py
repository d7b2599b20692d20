"""Signs in the search box: labels that only a sign keeps apart are never found for each other."""

import html
import re

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client

from catalog.models import Dataset, Image
from catalog.search.filters import DatasetFilterSet, ImageFilterSet
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.search.selecting import select
from vocab.models import Label
from vocab.services import set_terms_active
from vocab.tests.factories import AreaFactory, LabelFactory, ModalityFactory, add_alias

pytestmark = pytest.mark.django_db

NAMES = {
    "her2": "HER2+", "her2-2": "HER2-", "er": "ER+", "er-2": "ER-", "grade-2": "Grade <2",
    "grade-2-2": "Grade >2", "covid-19": "COVID-19", "pneumonia": "Pneumonia",
    "pneumonia-2": "Pneumonia?", "mass-nodule": "Mass/Nodule", "effusion": "Pleural effusion",
    "lymph-node": "Lymph node +", "pdl1": "PD-L1 positive", "pdl1-2": "PD-L1 negative",
    "triple-negative": "Triple negative", "t2": "<2 cm", "t2-2": ">2 cm", "bare": "KRAS",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def catalog(module_db: None) -> None:
    ModalityFactory(code="mr", name="MR")
    area = AreaFactory(code="lymph-node", name="Lymph node")
    dataset = DatasetFactory(slug="cohort", title="Cohort", description="Some are HER2 positive.")
    for code, name in NAMES.items():
        LabelFactory(code=code, name=name)
        ImageFactory(dataset=dataset, source_id=f"of {name}", labels=[code])
    add_alias(Label.objects.get(name="COVID-19"), "SARS-CoV-2")
    both = ImageFactory(dataset=dataset, source_id="both", labels=["her2", "er-2"])
    both.area = area
    both.save()
    make_searchable()


def ask_plainly(wanted: str, unwanted: str) -> list[str]:
    """Source ids of images with all labels ``wanted`` ("a|b": any) and none that is unwanted."""
    has = """EXISTS (SELECT FROM catalog_imagelabel x JOIN vocab_label t ON t.id = x.label_id
                      WHERE x.image_id = i.id AND x.finding = 'positive' AND t.name = ANY(%s))"""
    every = [(has, group.split("|")) for group in wanted.split(" & ") if group]
    every += [(f"NOT {has}", name.split("|")) for name in unwanted.split(" & ") if name]
    parts = ["SELECT source_id FROM catalog_image i WHERE i.removed_at IS NULL"]
    parts += [f"AND {sql}" for sql, _ in every]
    with connection.cursor() as cursor:
        cursor.execute(" ".join([*parts, "ORDER BY 1"]), [names for _, names in every])
        return [text for (text,) in cursor.fetchall()]


HER2 = "HER2+|HER2-"


SAID = [
    ("HER2-", "HER2-", ""),
    ("HER2−", "HER2-", ""),
    ("her2⁻", "HER2-", ""),
    ("HER-2-", "HER2-", ""),
    ("HER2 -", "HER2-", ""),
    ("HER2 (-)", "HER2-", ""),
    ("(HER2-)", "HER2-", ""),
    ("HER2 -ve", "HER2-", ""),
    ("HER2: -", "HER2-", ""),
    ("HER2 negative", "HER2-", ""),
    ("HER2-negative", "HER2-", ""),
    ("HER2: negative", "HER2-", ""),
    ("HER2 neg", "HER2-", ""),
    ("negative for HER2", "HER2-", ""),
    ("HER2+", "HER2+", ""),
    ("HER2 +", "HER2+", ""),
    ("HER2 (+)", "HER2+", ""),
    ("HER2 positive", "HER2+", ""),
    ("positive for HER2", "HER2+", ""),
    ("HER2 +ve", "HER2+", ""),
    ("HER2", HER2, ""),
    ("HER2 or ER-", f"{HER2}|ER-", ""),
    ("HER2+ ER-", "HER2+ & ER-", ""),
    ("HER2+ER-", "HER2+ & ER-", ""),
    ("HER2+ / -ER+", "HER2+", "ER+"),
    ("HER2+/ER-", "HER2+|ER-", ""),
    ("HER2+, ER-", "HER2+ & ER-", ""),
    ("HER2 positive ER negative", "HER2+ & ER-", ""),
    ("HER2- or HER2+", HER2, ""),
    ("HER2 - ER", f"{HER2} & ER+|ER-", ""),
    ("-HER2", "", HER2),
    ("no HER2", "", HER2),
    ("-HER2+", "", "HER2+"),
    ("without HER2-", "", "HER2-"),
    ("no HER2 positive", "", "HER2+"),
    ("HER2+ -ER+", "HER2+", "ER+"),
    ("ER- -HER2", "ER-", HER2),
    ('-"HER2-"', "", "HER2-"),
    ("grade <2", "Grade <2", ""),
    ("Grade < 2", "Grade <2", ""),
    ("grade<2", "Grade <2", ""),
    ("grade >2", "Grade >2", ""),
    ("grade 2", "Grade <2|Grade >2", ""),
    ("<2 cm", "<2 cm", ""),
    (">2 cm", ">2 cm", ""),
    ("pneumonia <2 cm", "Pneumonia & <2 cm", ""),
    ("COVID-19", "COVID-19", ""),
    ("covid 19", "COVID-19", ""),
    ("covid19", "COVID-19", ""),
    ("SARS-CoV-2", "COVID-19", ""),
    ("-COVID-19", "", "COVID-19"),
    ("COVID-19 - pneumonia", "COVID-19 & Pneumonia", ""),
    ("pneumonia", "Pneumonia", ""),
    ("pneumonia?", "Pneumonia?", ""),
    ("pnuemonia?", "Pneumonia?", ""),
    ("pleural effusion?", "Pleural effusion", ""),
    ("pleural/effusion", "Pleural effusion", ""),
    ("mass/nodule", "Mass/Nodule", ""),
    ("mass nodule", "Mass/Nodule", ""),
    ("pneumonia+effusion", "Pneumonia & Pleural effusion", ""),
    ("lymph node+", "Lymph node +", ""),
    ("PD-L1+", "PD-L1 positive", ""),
    ("PD-L1 negative", "PD-L1 negative", ""),
    ("PD-L1", "PD-L1 positive|PD-L1 negative", ""),
    ("triple-negative", "Triple negative", ""),
]


def test_a_sign_means_what_it_says() -> None:
    wrong = {}
    for typed, wanted, unwanted in SAID:
        filters = search(typed)
        found = sorted(filters.images().values_list("source_id", flat=True))
        expected = sorted(ask_plainly(wanted, unwanted))
        if (found, filters.total, filters.words.of_ids) != (expected, len(expected), []):
            wrong[typed] = found, expected, filters.parsed_query
    assert wrong == {}


def search(typed: str) -> ImageFilterSet:
    params = QueryDict(mutable=True)
    params["q"] = typed
    return ImageFilterSet(params)


GONE = [
    ("HER2-", "HER2-"), ("HER2-", "HER2 -"), ("HER2-", "HER2 (−)"), ("HER2-", "HER2-negative"),
    ("HER2-", "HER2 negative"), ("HER2+", "HER2+"), ("HER2+", "HER2 positive"),
    ("HER2+", "positive for HER2"), ("Grade <2", "grade <2"), ("Grade >2", "Grade >2"),
    ("", "grade ≥2"), ("", "KRAS-"), ("", "KRAS+"), ("", "COVID-19-"), ("", "HER2 ±"),
    ("", "HER2-ve"), (">2 cm", ">2 cm"),
]  # fmt: skip


def test_without_the_label_the_word_is_a_left_over() -> None:
    wrong = {}
    for gone in sorted({gone for gone, _ in GONE}):
        set_terms_active(terms=Label.objects.filter(name=gone), is_active=False)
        for typed in (typed for each, typed in GONE if each == gone):
            filters = search(typed)
            if filters.parsed_query.matches or filters.total or not filters.words.in_texts:
                wrong[typed] = filters.parsed_query
        set_terms_active(terms=Label.objects.filter(name=gone), is_active=True)
    assert wrong == {}


def get(client: Client, address: str) -> str:
    return html.unescape(client.get(address).content.decode())


def test_the_name_alone_is_offered_with_all_its_signs(client: Client) -> None:
    page = get(client, "/images/?q=HER2")
    assert re.search(r"Label:</span> HER2[+-] or HER2[+-]", page)
    page = get(client, "/images/?q=HER2-")
    assert "Label:</span> HER2-\n" in page or "Label:</span> HER2-<" in page
    assert "HER2-”, looked for" not in page


def test_removing_another_word_keeps_the_sign(client: Client) -> None:
    for typed in ("HER2%2B+pneumonia", "HER2%2Bpneumonia", "pneumonia+HER2+%2B"):
        page = get(client, f"/images/?q={typed}")
        (drop,) = re.findall(r'href="/images/\?([^"]*)"[^>]*Remove “pneumonia” from', page)
        assert select(drop) == "both of HER2+"


def test_what_is_no_sign_does_not_stay_behind(client: Client) -> None:
    page = get(client, "/images/?q=pneumonia+-+KRAS")
    (drop,) = re.findall(r'href="/images/\?([^"]*)"[^>]*Remove “KRAS” from', page)
    assert drop == "q=pneumonia"


def test_texts_of_datasets_do_not_take_one_sign_for_the_other() -> None:
    other = DatasetFactory(slug="other", title="Other", description="All are HER2 negative.")
    ImageFactory(dataset=other, source_id="negative", labels=["her2-2"])
    make_searchable()
    Image.objects.filter(dataset__slug="cohort", image_labels__label__name="HER2-").delete()
    make_searchable()
    assert find_datasets("HER2-") == ["other"]
    assert find_datasets("HER2 negative") == ["other"]
    assert find_datasets("HER2+") == ["cohort"]
    assert find_datasets("HER2") == ["cohort", "other"]


def find_datasets(typed: str) -> list[str]:
    filters = DatasetFilterSet(search(typed).data)
    ids = [pk for pk in filters.rows().ids().tolist() if not filters.missing_words(pk)]
    return sorted(Dataset.objects.filter(pk__in=ids).values_list("slug", flat=True))
