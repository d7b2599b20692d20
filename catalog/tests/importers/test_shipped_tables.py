"""The descriptions that medagg ships, against small tables in the publishers' own notations."""

import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from catalog.importers.dataset_entries import SHIPPED_DATASETS, read_datasets
from catalog.importers.options import ImportLimits
from catalog.importers.pipeline import import_source
from catalog.importers.rows import BadRow, ImageRow, LabelRow
from catalog.importers.tables.description import read_description
from catalog.importers.tables.labels import fold
from catalog.importers.tables.source import SHIPPED_TABLES, open_dataset_toml
from catalog.models import Dataset, Image
from catalog.tests.importers.folder_files import make_picture
from vocab.lookup import find_terms
from vocab.services import DATA_DIR
from vocab.tests.shipped import save_shipped_vocabularies
from vocab.text import normalize

SHIPPED = sorted(path.stem for path in SHIPPED_TABLES.glob("*.toml"))

NIH = """\
Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,\
OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]
00000001_000.png,Cardiomegaly|Emphysema,1,1,58,M,PA,2894,2729,0.143,0.143
00000002_000.png,No Finding,0,2,414,F,AP,2500,2048,0.168,0.168
00000003_000.png,Hernia,0,3,058Y,M ,PA,2500,2048,0.168,0.168
"""
CHEXPERT = """\
Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,\
Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,\
Pleural Other,Fracture,Support Devices
CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,\
1.0,,,,,,,,,0.0,,,,1.0
CheXpert-v1.0-small/train/patient00002/study2/view2_lateral.jpg,Unknown,0,Lateral,,\
,,-1.0,1.0,,-1.0,,,,,,,,
CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg,Male,41,Frontal,PA,\
2.0,,,,,,,,,,,,,
"""
PADCHEST = """\
,ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,\
ViewPosition_DICOM,Projection,MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,\
PhotometricInterpretation_DICOM,PixelRepresentation_DICOM,PixelAspectRatio_DICOM,\
SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,WindowWidth_DICOM,Rows_DICOM,\
Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,ExposureInuAs_DICOM,ExposureTime,\
RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,Labels,Localizations,\
LabelsLocalizationsBySentence,labelCUIS,LocalizationsCUIS
0,2053_k6ga29.png,0,20140915,2053,8398,1930.0,F,POSTEROANTERIOR,PA,Manual review,No,CR,Maker,\
MONOCHROME2,0,"['1', '1']",None,12,2092,5.115000e+02,1728,1872,250,2,2500,10,-1.42,4765777, sin \
hallazg .,Physician,"['pulmonary fibrosis', ' Chilaiditi sign', '']",['loc basal'],"[['a'], ['b']]\
","['C0034069' 'C0742362'
 'C2115817']",[]
1,1358_fzis7d.png,1,20150914,1358,3135,,nan,nan,L,resnet,PED,DX,Maker,MONOCHROME2,0,None,0.143,\
12,None,None,3296,3236,None,None,None,None,None,49918,,RNN_model,nan,[],[],[],[]
"""
VINBIGDATA = """\
image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max
50a4,No finding,14,R11,,,,
9a50,Cardiomegaly,3,R10,691.0,1375.0,1653.0,1831.0
50a4,No finding,14,R7,,,,
9a50,Aortic enlargement,0,R8,1.5,2.0,3.0,4.0
9a50,Cardiomegaly,3,R8,700.0,1380.0,1660.0,1835.0
"""
RSNA = """\
patientId,x,y,width,height,Target
0004,,,,,0
0043,264.0,152.0,213.0,379.0,1
0043,562.0,152.0,256.0,453.0,1
"""
RSNA_HEADERS = """\
,BodyPartExamined,ConversionType,Filename,InstanceNumber,Modality,PatientAge,PatientID,\
PatientOrientation,PatientSex,PixelSpacing,SamplesPerPixel,SeriesNumber,ViewPosition
0,CHEST,WSD,0043.dcm,1.0,CR,43,0043,,F,0.168,1.0,1.0,AP
"""
RSNA_CLASSES = "patientId,class\n0004,No Lung Opacity / Not Normal\n0043,Lung Opacity\n"
SIIM = f"ImageId, EncodedPixels\n1.2.3,-1\n1.2.4,557374 {'2 1015 ' * 900}\n1.2.5,-1\n1.2.4,5 2\n"
OPENI_EXTRA = (
    "Body Part Examined,Bits Stored,Photometric Interpretation,Image Type,Imager Pixel Spacing,"
    "Pixel Spacing,KVP,Exposure,Exposure Time,Filter Type,Grid,Laterality,Patient Orientation,"
    "Patient Position,Detector Type,Distance Source to Detector,Study Instance UID,"
    "Series Instance UID,SOP Instance UID"
)
OPENI = (
    "imageid,Accession Number,Patient ID,Patient's Birth Date,Patient's Name,Patient's Sex,"
    f"Study Date,Modality,View Position,Columns,Rows,filename,{OPENI_EXTRA}\n"
    "CXR1000_IM-0003-2001,812449,1000,19550820,1000,,20110328,CR,PA,2320,2828,"
    "./1000_IM-0003-2001.dcm,CHEST,12,MONOCHROME1,\"['DERIVED', 'PRIMARY']\",\"['0.15', '0.15']\","
    ",0,0,,,,,,,,,1.2,1.2.3,1.2.3.4\n"
)
TABLES = {
    "nih-chestxray14": {"Data_Entry_2017_v2020.csv": NIH},
    "chexpert": {"train.csv": CHEXPERT},
    "padchest": {"PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv": PADCHEST},
    "vindr-cxr": {"train.csv": VINBIGDATA},
    "rsna-pneumonia-2018": {
        "stage_2_train_labels.csv": RSNA,
        "kaggle_stage_2_train_images_dicom_headers.csv": RSNA_HEADERS,
        "stage_2_detailed_class_info.csv": RSNA_CLASSES,
    },
    "siim-acr-pneumothorax": {"train-rle.csv": SIIM},
    "openi-indiana-cxr": {"nlmcxr_dicom_metadata.csv": OPENI},
}


def read(folder: Path, slug: str, **others: str) -> tuple[dict[str, ImageRow], list[BadRow]]:
    for name, text in (TABLES[slug] | others).items():
        (folder / name).write_text(text)
    rows = list(open_dataset_toml(SHIPPED_TABLES / f"{slug}.toml", tables=folder).rows())
    bad = [row for row in rows if isinstance(row, BadRow)]
    return {row.source_id: row for row in rows if isinstance(row, ImageRow)}, bad


def words(labels: Iterable[LabelRow]) -> list[tuple[str, str]]:
    return [(label.word, label.finding) for label in labels]


def test_there_is_a_table_for_every_description() -> None:
    assert sorted(TABLES) == SHIPPED


@pytest.mark.parametrize("slug", SHIPPED)
def test_a_description_belongs_to_a_shipped_dataset_and_says_nothing_else(slug: str) -> None:
    shipped = {entry["slug"] for entry in read_datasets(SHIPPED_DATASETS)}
    entry = read_description(SHIPPED_TABLES / f"{slug}.toml").entry

    assert entry["slug"] == slug
    assert slug in shipped
    assert entry.keys() <= {"slug", "num_images"}


@pytest.mark.parametrize("slug", SHIPPED)
def test_the_entry_of_the_source_is_whole(slug: str, tmp_path: Path) -> None:
    read(tmp_path, slug)

    source = open_dataset_toml(SHIPPED_TABLES / f"{slug}.toml", tables=tmp_path)

    assert {"title", "description", "license", "citation", "area"} <= source.entry.keys()


@pytest.mark.parametrize("slug", SHIPPED)
def test_every_word_for_a_finding_is_in_the_vocabulary(slug: str, tmp_path: Path) -> None:
    terms = tomllib.loads((DATA_DIR / "labels.toml").read_text())["term"]
    known = {
        normalize(spelling)
        for term in terms
        for in_lung in [term.get("aliases_in", {}).get("lung", ())]
        for spelling in (term["code"], term["name"], *term["aliases"], *in_lung)
    }
    images, _ = read(tmp_path, slug)
    told = {label.word for image in images.values() for label in image.labels}
    told |= {
        word
        for spec in read_description(SHIPPED_TABLES / f"{slug}.toml").labels
        for word in spec.columns.values()
    }

    assert {word for word in told if normalize(word) not in known} == set()


# What the published tables have in the columns of views.
VIEWS = {
    "nih-chestxray14": {"PA": "pa", "AP": "ap"},
    "chexpert": {"AP": "ap", "PA": "pa", "LL": "ll", "RL": "rl", "Lateral": "lateral",
                 "Frontal": "frontal"},
    "padchest": {"PA": "pa", "L": "lateral", "AP_horizontal": "ap-supine", "AP": "ap",
                 "COSTAL": "", "EXCLUDE": "", "UNK": ""},
    "rsna-pneumonia-2018": {"PA": "pa", "AP": "ap"},
    "openi-indiana-cxr": {"PA": "pa", "LL": "ll", "AP": "ap", "LATERAL": "lateral", "RL": "rl",
                          "LARGE LATERAL": "lateral"},
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("slug", VIEWS)
def test_every_word_for_a_view_is_understood(slug: str) -> None:
    save_shipped_vocabularies()
    meant = read_description(SHIPPED_TABLES / f"{slug}.toml").image.view_words
    for word, code in VIEWS[slug].items():
        text = meant.get(fold(word), word)
        found = find_terms("view", [text])[text] if text else []
        assert [term.code for term in found] == ([code] if code else []), word


def test_nih_has_labels_in_one_cell(tmp_path: Path) -> None:
    images, bad = read(tmp_path, "nih-chestxray14")
    first, second, third = images.values()

    assert bad == []
    assert words(first.labels) == [("Cardiomegaly", "positive"), ("Emphysema", "positive")]
    assert (first.subject_id, first.sex, first.age_years) == ("1", "M", 58.0)
    assert (first.width, first.height, first.modality) == (1024, 1024, "xray")
    assert first.metadata["OriginalImage[Width"] == 2894
    assert first.metadata["view"] == "PA"
    assert (second.age_years, second.metadata["Patient Age"]) == (None, "414")
    assert (third.age_years, third.sex) == (58.0, "M")


def test_chexpert_has_a_column_a_label(tmp_path: Path) -> None:
    valid = CHEXPERT.splitlines()[0] + (
        "\nCheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP"
        + ",0.0" * 13
        + ",1.0\n"
    )
    images, (bad,) = read(tmp_path, "chexpert", **{"valid.csv": valid})
    first, second, third = images.values()

    assert first.source_id == "train/patient00001/study1/view1_frontal.jpg"
    assert words(first.labels) == [
        ("No Finding", "positive"),
        ("Pneumothorax", "negative"),
        ("Support Devices", "positive"),
    ]
    assert (first.subject_id, first.sex, first.age_years) == ("patient00001", "F", 68.0)
    assert first.metadata == {
        "Frontal/Lateral": "Frontal", "AP/PA": "AP", "view": "AP", "study": "study1",
        "split": "train",
    }  # fmt: skip
    assert words(second.labels) == [
        ("Cardiomegaly", "uncertain"),
        ("Lung Opacity", "positive"),
        ("Edema", "uncertain"),
    ]
    assert (second.sex, second.metadata["view"]) == ("", "Lateral")
    assert (len(third.labels), third.metadata["split"]) == (14, "valid")
    assert (bad.line, bad.column, bad.value) == (4, "No Finding", "2.0")
    assert bad.source_id == "train/patient00003/study1/view1_frontal.jpg"


def test_padchest_has_lists_and_years_of_birth(tmp_path: Path) -> None:
    images, bad = read(tmp_path, "padchest")
    first, second = images.values()

    assert bad == []
    assert [label.word for label in first.labels] == ["pulmonary fibrosis", "Chilaiditi sign"]
    assert (first.sex, first.age_years, first.modality) == ("F", 84.0, "CR")
    assert (first.width, first.height) == (1872, 1728)
    assert first.metadata["labelCUIS"] == ["C0034069", "C0742362", "C2115817"]
    assert first.metadata["WindowWidth_DICOM"] == 511.5
    assert not {"PatientBirth", "Report", "SpatialResolution_DICOM"} & first.metadata.keys()
    assert (second.labels, second.sex, second.age_years) == ((), "", None)
    assert (first.view, second.view) == ("PA", "lateral")
    assert second.metadata["view"] == "L"
    assert first.metadata["Manufacturer"] == "Maker"


def test_vinbigdata_has_a_row_for_each_box(tmp_path: Path) -> None:
    images, bad = read(tmp_path, "vindr-cxr")

    assert bad == []
    assert list(images) == ["50a4", "9a50"]
    assert words(images["50a4"].labels) == [("No finding", "positive")]
    assert "boxes" not in images["50a4"].metadata
    assert [label.word for label in images["9a50"].labels] == ["Cardiomegaly", "Aortic enlargement"]
    boxes = images["9a50"].metadata["boxes"]
    assert boxes[1] == {
        "class_name": "Aortic enlargement", "rad_id": "R8",
        "x_min": 1.5, "y_min": 2, "x_max": 3, "y_max": 4,
    }  # fmt: skip
    assert [box["rad_id"] for box in boxes] == ["R10", "R8", "R8"]


def test_rsna_puts_three_tables_together(tmp_path: Path) -> None:
    images, bad = read(tmp_path, "rsna-pneumonia-2018")
    healthy, ill = images.values()

    assert bad == []
    assert words(healthy.labels) == [
        ("Pneumonia", "negative"),
        ("Lung Opacity", "negative"),
        ("No Lung Opacity / Not Normal", "positive"),
    ]
    assert (healthy.modality, healthy.age_years) == ("cr", None)
    assert words(ill.labels) == [("Pneumonia", "positive"), ("Lung Opacity", "positive")]
    assert (ill.modality, ill.sex, ill.age_years) == ("CR", "F", 43.0)
    assert ill.metadata["view"] == "AP"
    assert [box["x"] for box in ill.metadata["boxes"]] == [264, 562]
    assert (ill.width, ill.height) == (None, None)


def test_rsna_needs_only_the_table_of_boxes_even_as_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "kaggle_stage_2_train_labels.csv.zip", "w") as archive:
        archive.writestr("stage_2_train_labels.csv", RSNA)

    source = open_dataset_toml(SHIPPED_TABLES / "rsna-pneumonia-2018.toml", tables=tmp_path)

    assert [row.source_id for row in source.rows()] == ["0004", "0043"]


def test_siim_has_a_label_where_there_is_a_mask(tmp_path: Path) -> None:
    images, bad = read(tmp_path, "siim-acr-pneumothorax")

    assert bad == []
    assert {name: words(image.labels) for name, image in images.items()} == {
        "1.2.3": [("Pneumothorax", "negative")],
        "1.2.4": [("Pneumothorax", "positive")],
        "1.2.5": [("Pneumothorax", "negative")],
    }
    assert images["1.2.4"].metadata == {}


def test_indiana_gives_no_name_and_no_birthday(tmp_path: Path) -> None:
    images, bad = read(tmp_path, "openi-indiana-cxr")
    (image,) = images.values()

    assert bad == []
    assert (image.subject_id, image.age_years, image.modality) == ("1000", 55.0, "CR")
    assert (image.width, image.height) == (2320, 2828)
    assert image.metadata["Image Type"] == ["DERIVED", "PRIMARY"]
    told = repr(image)
    assert "19550820" not in told
    assert "812449" not in told


@pytest.mark.django_db
def test_a_shipped_table_goes_into_the_catalog_and_a_second_time_changes_nothing(
    tmp_path: Path,
) -> None:
    save_shipped_vocabularies()
    (tmp_path / "train.csv").write_text(CHEXPERT)
    path = SHIPPED_TABLES / "chexpert.toml"

    limits = ImportLimits(max_rejected=1)
    first = import_source(source=open_dataset_toml(path, tables=tmp_path), limits=limits)
    second = import_source(source=open_dataset_toml(path, tables=tmp_path), limits=limits)

    assert (first.added, first.rejected, dict(first.new_labels)) == (2, 1, {})
    assert (second.added, second.changed, second.unchanged, second.removed) == (0, 0, 2, 0)
    assert Dataset.objects.get(slug="chexpert").title == "CheXpert"
    image = Image.objects.get(source_id="train/patient00001/study1/view1_frontal.jpg")
    assert image.modality is not None
    assert image.modality.code == "xray"
    found = image.image_labels.values_list("label__code", "finding")
    assert set(found) == {
        ("no-finding", "positive"),
        ("pneumothorax", "negative"),
        ("support-devices", "positive"),
    }


@pytest.mark.django_db
def test_files_that_lie_in_any_folder_are_found_and_hashed(own_folders: Path) -> None:
    save_shipped_vocabularies()
    home = own_folders / "datasets" / "nih"
    (home / "images_001" / "images").mkdir(parents=True)
    (home / "images_001" / "images" / "00000001_000.png").write_bytes(make_picture(30, 20))
    (home / "Data_Entry_2017_v2020.csv").write_text(NIH)
    path = SHIPPED_TABLES / "nih-chestxray14.toml"

    report = import_source(source=open_dataset_toml(path, tables=home, files=home))

    assert (report.added, report.missing_files) == (3, 2)
    image = Image.objects.local().get()
    assert image.file_path == "images_001/images/00000001_000.png"
    assert image.size_bytes == len(make_picture(30, 20))
