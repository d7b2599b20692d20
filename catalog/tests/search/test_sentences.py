"""Sentences that people type on the images page, each with plain SQL as the right answer."""

import html
import re
from itertools import cycle
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client

from catalog.models import Dataset
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.search.selecting import select
from vocab.models import AnatomicalArea, License, Modality
from vocab.tests.factories import LabelFactory

pytestmark = pytest.mark.django_db

AGES = (None, 0.04, 0.5, 1.5, 2.0, 7.0, 12.9, 13.0, 18.0, 19.0, 39.99, 40.0, 50.5, 65.0, 65.9, 66.0,
        80.0)  # fmt: skip
LABELS: tuple[list[str], ...] = (
    ["pneumonia"], ["pleural-effusion"], ["pneumonia", "pleural-effusion"], ["normal"], [],
    ["covid-19"], ["glioma", "her2-plus"], ["fracture", "her2-minus"], ["nodule"],
)  # fmt: skip
SEXES = ("F", "M", "", "F", "O")
DATASETS = (
    ("chexpert", "CheXpert", "chest", ("dx", "xray"), "cc0-1.0"),
    ("lidc_idri", "LIDC-IDRI", "lung", ("ct", "dx"), "cc-by-3.0"),
    ("brats-2021", "BraTS 2021", "brain", ("mr",), "cc-by-nc-4.0"),
    ("wrists", "Broken wrists of Graz", "wrist", ("cr", "us"), ""),
)

FROM = """
    SELECT i.source_id FROM catalog_image i
      JOIN catalog_dataset d ON d.id = i.dataset_id
      LEFT JOIN vocab_license l ON l.id = d.license_id
      LEFT JOIN vocab_modality m ON m.id = i.modality_id
      LEFT JOIN vocab_anatomicalarea a ON a.id = coalesce(i.area_id, d.area_id)
     WHERE {} ORDER BY 1
"""


def has(*codes: str) -> str:
    """Any of these labels, as plain SQL."""
    names = ", ".join(f"'{code}'" for code in codes)
    return (
        "EXISTS (SELECT FROM catalog_imagelabel x JOIN vocab_label t ON t.id = x.label_id"
        f" WHERE x.image_id = i.id AND x.finding = 'positive' AND t.code IN ({names}))"
    )


AGE = "i.age_years"
XRAY = "m.code IN ('xray', 'dx', 'cr', 'rg', 'mg', 'io', 'px')"
CHEST = "a.code IN ('chest', 'lung', 'heart')"
SAID = {
    "over 65 women": f"i.sex = 'F' AND {AGE} >= 66",
    "women aged 65+ with pneumonia": f"i.sex = 'F' AND {AGE} >= 65 AND {has('pneumonia')}",
    "men under 40 chest x-ray": f"i.sex = 'M' AND {AGE} < 40 AND {CHEST} AND {XRAY}",
    "boys and girls under 13": "FALSE",
    "children": f"{AGE} >= 2 AND {AGE} < 13",
    "kids": f"{AGE} >= 2 AND {AGE} < 13",
    "newborns or elderly": f"({AGE} < 0.0792 OR {AGE} >= 65)",
    "adults under 40 CT": f"{AGE} >= 19 AND {AGE} < 40 AND m.code = 'ct'",
    "infant x-rays": f"{AGE} < 2 AND {XRAY}",
    "40-50 years old": f"{AGE} >= 40 AND {AGE} < 51",
    "between 40 and 65, female": f"{AGE} >= 40 AND {AGE} < 66 AND i.sex = 'F'",
    "age unknown male": f"{AGE} IS NULL AND i.sex = 'M'",
    ">=65 or <2": f"({AGE} >= 65 OR {AGE} < 2)",
    "chexpert pneumonia": f"d.slug = 'chexpert' AND {has('pneumonia')}",
    "LIDC-IDRI": "d.slug = 'lidc_idri'",
    "lidc or brats female": "d.slug IN ('lidc_idri', 'brats-2021') AND i.sex = 'F'",
    "BraTS2021 glioma": f"d.slug = 'brats-2021' AND {has('glioma')}",
    "-chexpert x-ray": f"d.slug <> 'chexpert' AND {XRAY}",
    "subject-07": "i.subject_id = 'subject-07'",
    "SUBJECT-07 pneumonia": f"i.subject_id = 'subject-07' AND {has('pneumonia')}",
    "subject-07 or subject-08": "i.subject_id IN ('subject-07', 'subject-08')",
    "image-003": "i.source_id LIKE 'image-003%%'",
    "penumonia womens": f"{has('pneumonia')} AND i.sex = 'F'",
    "plueral efusion": has("pleural-effusion"),
    "mamografy": "m.code = 'mg'",
    "pneumonia and effusion": f"{has('pneumonia')} AND {has('pleural-effusion')}",
    "pneumonia or effusion": has("pneumonia", "pleural-effusion"),
    "pneumonia OR effusion -covid": f"{has('pneumonia', 'pleural-effusion')}"
                                    f" AND NOT {has('covid-19')}",
    "no pneumonia or no effusion": f"NOT {has('pneumonia', 'pleural-effusion')}",
    "nodule, pneumonia or fracture": has("nodule", "pneumonia", "fracture"),
    "any of nodule, pneumonia, fracture": has("nodule", "pneumonia", "fracture"),
    "pneumonia, effusion, CT": f"{has('pneumonia')} AND {has('pleural-effusion')}"
                               " AND m.code = 'ct'",
    "pneumonia w/ effusion": f"{has('pneumonia')} AND {has('pleural-effusion')}",
    "CT w/out glioma": f"m.code = 'ct' AND NOT {has('glioma')}",
    "CT/MRI without glioma": f"m.code IN ('ct', 'mr') AND NOT {has('glioma')}",
    "no pneumonia or effusion in women": f"NOT {has('pneumonia', 'pleural-effusion')}"
                                         " AND i.sex = 'F'",
    "no nodule/mass in women": f"NOT {has('nodule', 'mass', 'nodule-mass')} AND i.sex = 'F'",
    "chest not CT": f"{CHEST} AND m.code IS DISTINCT FROM 'ct'",
    '"pneumonia"': "FALSE",
    '"pneumonia" chest': "FALSE",
    'ct -"pneumonia"': f"m.code = 'ct' AND NOT {has('pneumonia')}",
    "covid19": has("covid-19"),
    "SARS-CoV-2 or COVID-19": has("covid-19"),
    "-COVID-19 lung": f"NOT {has('covid-19')} AND a.code = 'lung'",
    "HER2-positive glioma": f"{has('her2-plus')} AND {has('glioma')}",
    "HER2- fracture in men": f"{has('her2-minus')} AND {has('fracture')} AND i.sex = 'M'",
    "healthy lung CT": f"{has('normal')} AND a.code = 'lung' AND m.code = 'ct'",
    "head": "a.code IN ('head', 'brain', 'skull')",
    "commercial use female": "l.allows_commercial_use AND i.sex = 'F'",
    "chest x ray, 65 years, male": f"{CHEST} AND {XRAY} AND floor({AGE}) = 65 AND i.sex = 'M'",
    "pneumonia unobtainium": "FALSE",
    "brain tumour MRI over 60 GB": "FALSE",
    "ultrasound of the wrist": "m.code = 'us' AND a.code = 'wrist'",
    "pneumothorax": "FALSE",
}  # fmt: skip


@pytest.fixture
def catalog(vocabularies: None) -> None:
    for code, name in (("her2-plus", "HER2+"), ("her2-minus", "HER2-")):
        LabelFactory(code=code, name=name)
    areas = {term.code: term for term in AnatomicalArea.objects.all()}
    modalities = {term.code: term for term in Modality.objects.all()}
    datasets = []
    for slug, title, area, codes, license_ in DATASETS:
        dataset = DatasetFactory(
            slug=slug, title=title, area=areas[area],
            license=License.objects.filter(code=license_).first(),
        )  # fmt: skip
        datasets.append((dataset, cycle([modalities[code] for code in codes])))
    ages, labels, sexes = cycle(AGES), cycle(LABELS), cycle(SEXES)
    for number, (dataset, kinds) in zip(range(300), cycle(datasets), strict=False):
        ImageFactory(
            dataset=dataset, source_id=f"image-{number:04}", modality=next(kinds),
            subject_id=f"subject-{number % 23:02}", sex=next(sexes), age_years=next(ages),
            labels=next(labels), area=areas["heart"] if number % 20 == 0 else None,
        )  # fmt: skip
    make_searchable()


def test_sentences_find_what_plain_sql_finds(catalog: None, client: Client) -> None:
    wrong, empty = {}, []
    for typed, where in SAID.items():
        with connection.cursor() as cursor:
            cursor.execute(FROM.format(where), [])
            expected = [text for (text,) in cursor.fetchall()]
        query = urlencode({"q": typed})
        page = html.unescape(client.get(f"/images/?{query}").content.decode())
        (total,) = re.findall(r'id="results-title"[^>]*?(?:><span)? data-total="(\d+)"', page)
        if (found := select(query).split()) != expected or int(total) != len(expected):
            wrong[typed] = len(found), int(total), len(expected)
        if not expected and where != "FALSE":
            empty.append(typed)
    assert wrong == {}
    assert empty == ["mamografy"], "which ask nothing of the catalog"
    assert Dataset.objects.count() == len(DATASETS)
