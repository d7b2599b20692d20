"""``manage.py import_dataset`` of DICOM files that tell who somebody is, and what the site does."""

import csv
import importlib
import io
from pathlib import Path

import pydicom
import pytest
from django.conf import LazySettings
from django.core.management import CommandError
from django.db import connection
from django.test import Client
from pydicom import uid
from pydicom.datadict import dictionary_VR, keyword_dict

from catalog.models import Dataset, Image
from catalog.tests.imaging.dicom_files import write_dicom
from catalog.tests.importers.folder_files import make_picture, make_scan, write_files
from catalog.tests.management.test_import_dataset import home, run
from catalog.tests.management.test_import_files import make_table

__all__ = ["home"]
pytestmark = pytest.mark.django_db

NAMED = {"PatientName": "Doe^Jane", "PatientBirthDate": "19550820", "PatientID": "MRN-1"}
PUBLISHED = {
    "PatientName": "LIDC-0001",
    "PatientID": "LIDC-0001",
    "AccessionNumber": "8471",
    "PatientIdentityRemoved": "YES",
}
FAR = b"""[dataset]
slug = "far"
title = "Far"
[image]
id = "{id}"
url = "{url}"
[[table]]
path = "t.csv"
"""


def make_folder(home: Path, *, burned_in: bool = False) -> Path:
    marks = {"BurnedInAnnotation": "YES"} if burned_in else {}
    return write_files(
        home / "scans",
        {
            "jane.dcm": make_scan(**NAMED, **marks),
            "note.dcm": make_scan(ImageComments="call Jane"),
            "public.dcm": make_scan(**PUBLISHED),
            "plain.dcm": make_scan(PatientID="7"),
        },
    )


def test_files_that_tell_who_somebody_is_are_counted_listed_and_refused(home: Path) -> None:
    folder = make_folder(home)
    with pytest.raises(CommandError) as refused:
        run(folder)
    message = str(refused.value)
    assert "2 DICOM files carry attributes that may tell who somebody is" in message
    for part in ("ImageComments (1)", "PatientBirthDate (1)", "PatientName (1)", "jane.dcm"):
        assert part in message
    assert "--allow-identifying" in message
    assert "Doe" not in message
    assert not Dataset.objects.exists()
    with (home / "scans.file-problems.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if "identifying" in row["what_to_do"]]
    listed = {row["file"]: row["others"] for row in rows}
    assert listed == {
        "jane.dcm": "PatientBirthDate | PatientName",
        "note.dcm": "ImageComments",
    }
    with pytest.raises(CommandError, match="--allow-identifying"):
        run(folder, "--dry-run")


def test_an_import_says_that_pages_show_paths_where_the_patients_id_is_hidden(home: Path) -> None:
    open_, hidden = make_scan(PatientIdentityRemoved="YES"), make_scan(PatientID="MRN-1")
    said = "pages show the paths of files, such as “MRN-1/a.dcm”"
    folder = write_files(home / "scans", {"P1/a.dcm": open_, "MRN-1/a.dcm": hidden})
    assert run(folder, "--dry-run").count(said) == 1
    assert "paths" not in run(write_files(home / "open", {"P1/a.dcm": open_}), "--dry-run")


def test_names_in_odd_places_are_found_and_many_are_told_in_short(
    home: Path, client: Client
) -> None:
    other_vr = pydicom.dcmread(io.BytesIO(make_scan(SOPInstanceUID="1.2.1")))
    other_vr.add_new(0x00100010, "LO", "Doe^John")
    behind = make_scan(SOPInstanceUID="1.2.2") + b"\x10\0\x10\0PN\x08\0Doe^John"
    many = pydicom.dcmread(io.BytesIO(make_scan(SOPInstanceUID="1.2.3")))
    for tag in keyword_dict.values():
        if dictionary_VR(tag) == "PN":
            many.add_new(tag, "PN", "Doe^John")
    scans = [write_dicom(each, uid.ExplicitVRLittleEndian) for each in (other_vr, many)]
    folder = write_files(
        home / "scans", {"vr.dcm": scans[0], "behind.dcm": behind, "many.dcm": scans[1]}
    )
    with pytest.raises(CommandError, match="3 DICOM files carry") as refused:
        run(folder)
    assert str(refused.value).count("(1)") < 20
    assert ", and others" in str(refused.value)
    run(folder, "--allow-identifying")
    for image in Image.objects.all():
        assert client.get(f"/images/{image.pk}/file/").status_code == 302
    page = client.get("/datasets/scans/").content.decode()
    assert "(PatientName 3, " in page.replace('<span class="break">', "")
    assert ", and others" in page


def test_what_was_found_by_an_older_rule_is_looked_at_again(home: Path, client: Client) -> None:
    run(write_files(home / "scans", {"a.dcm": make_scan(), "public.dcm": make_scan(**PUBLISHED)}))
    migration = importlib.import_module("catalog.migrations.0014_identifying_again")
    with connection.cursor() as cursor:
        cursor.execute(migration.FORGET)
        cursor.execute(migration.NOTE_UNCHECKED)
    found = dict(Image.objects.values_list("source_id", "identifying"))
    assert found == {"a.dcm": None, "public.dcm": []}
    assert "1 DICOM image was not checked" in client.get("/datasets/scans/").content.decode()
    run(home / "scans")
    assert "not checked" not in client.get("/datasets/scans/").content.decode()


def test_what_lies_elsewhere_and_may_be_dicom_is_said_to_be_not_checked(
    home: Path, client: Client
) -> None:
    here = "https://files.lan"
    ends = ("1.DCM", "1.dcm?download=1", "L067.IMA", "1.v1", "1.dcm.gz", "d/ab/", "wado?uid=1.2",
            "view.html?file=a.dcm")  # fmt: skip
    suspects = [*(f"{here}/{end}" for end in ends)]
    suspects += [f"s3://scans/p.1/{end}" for end in ("I1", "1.2", "*")]
    clean = [
        "1.png",
        "1.JPG?download=1",
        "1.nii.gz",
        "1.svs/",
        "get?file=1.png",
        "1.nii.GZ#1.2",
        "1.jpg?utm_source=commons.wikimedia.org",
        "1.png?versionId=jg.hTr5",
    ]
    clean = [*(f"{here}/{end}" for end in clean), "s3://idc-open-data/5f2/*"]
    rows = [f"{number},{url}" for number, url in enumerate(suspects + clean)]
    rows.append("listed,")
    folder = write_files(
        home / "far", {"dataset.toml": FAR, "t.csv": "\n".join(["id,url", *rows]).encode()}
    )
    run(folder)

    assert "11 DICOM images were not checked" in client.get("/datasets/far/").content.decode()
    # Earlier versions counted none, or fewer.
    migration = importlib.import_module("catalog.migrations.0020_more_names_of_dicom_elsewhere")
    for counted in ({}, {"identifying": {"files": 0, "burned_in": 0, "unchecked": 4}}):
        Dataset.objects.update(imported_json=counted)
        with connection.cursor() as cursor:
            cursor.execute(migration.NOTE_UNCHECKED)
        assert "10 DICOM images were not checked" in client.get("/datasets/far/").content.decode()
    for image in Image.objects.all():
        page = client.get(image.get_absolute_url()).content.decode()
        assert ("was not checked" in page) == (image.remote_url in suspects), image.remote_url


def test_a_table_that_names_such_a_file_is_refused_too(home: Path) -> None:
    folder = make_table(home, {"a.dcm": make_scan(**NAMED), "b.png": make_picture()})
    with pytest.raises(CommandError, match=r"PatientBirthDate \(1\)"):
        run(folder)
    run(folder, "--allow-identifying")
    images = dict(Image.objects.values_list("source_id", "identifying"))
    assert images == {"a.dcm": ["PatientBirthDate", "PatientName"], "b.png": None}


def test_once_allowed_pages_say_so_and_the_files_need_a_signed_in_user(
    home: Path, client: Client, admin_client: Client, settings: LazySettings
) -> None:
    folder = make_folder(home, burned_in=True)
    report = run(folder, "--allow-identifying")
    assert "2 DICOM files carry attributes that may tell who somebody is" in report
    assert "1 DICOM files say that text is burnt into their pixels" in report
    assert "4 unchanged" in run(folder, "--allow-identifying")

    page = client.get("/datasets/scans/").content.decode()
    assert "2 DICOM images may tell who somebody is" in page
    assert "PatientName 1" in page
    assert "1 image says that text is burnt into the pixels" in page
    jane, plain, public = (
        Image.objects.get(source_id=name) for name in ("jane.dcm", "plain.dcm", "public.dcm")
    )
    assert (plain.identifying, public.identifying) == ([], [])
    page = client.get(jane.get_absolute_url()).content.decode()
    assert "PatientBirthDate, PatientName" in page
    assert "Sign in to download" in page
    assert 'id="burned-in"' in page
    assert 'id="identifying"' not in client.get(plain.get_absolute_url()).content.decode()

    address = f"/images/{jane.pk}/file/"
    refused = client.get(address)
    assert (refused.status_code, refused["Location"]) == (302, f"/accounts/login/?next={address}")
    for other in (plain, public):
        assert client.get(f"/images/{other.pk}/file/").status_code == 200
    sent = admin_client.get(address)
    assert b"Doe^Jane" in sent.getvalue()
    assert sent["Cache-Control"] == "private, no-cache"

    settings.X_ACCEL_DATASETS = ["/protected-datasets/"]
    refused = client.get(address)
    assert (refused.status_code, "X-Accel-Redirect" in refused) == (302, False)
    assert "X-Accel-Redirect" in admin_client.get(address)


def test_text_in_pixels_is_told_whatever_a_table_and_other_elements_say(
    home: Path, client: Client
) -> None:
    marks = {"BurnedInAnnotation": "YES"}
    folder = make_table(
        home,
        {
            "a.dcm": make_scan(**marks, PatientIdentityRemoved="YES"),
            "b.dcm": make_scan(**marks),
            "label.dcm": make_scan(
                ImageType="DERIVED\\PRIMARY\\LABEL\\NONE", BurnedInAnnotation="NO"
            ),
            "whole.dcm": make_scan(SpecimenLabelInImage="YES"),
            "overview.dcm": make_scan(ImageType="DERIVED\\PRIMARY\\OVERVIEW"),
            "clean.dcm": make_scan(
                ImageType="DERIVED\\PRIMARY\\OVERVIEW", SpecimenLabelInImage="NO"
            ),
        },
        rows="File,BurnedInAnnotation\na.dcm,Yes\nb.dcm,NO\nlabel.dcm,\nwhole.dcm,\noverview.dcm,\n"
        "clean.dcm,NO\n",
    )
    assert "5 DICOM files say that text is burnt into their pixels" in run(folder)
    assert "5 images say that text" in client.get("/datasets/table/").content.decode()
    for image in Image.objects.all():
        page = client.get(image.get_absolute_url()).content.decode()
        assert ('id="burned-in"' in page) == (image.source_id != "clean.dcm"), image.source_id


def test_a_picture_is_no_dicom_whatever_a_table_says(home: Path, client: Client) -> None:
    files = {"a.png": make_picture(), "b.dcm": make_scan(PatientIdentityRemoved="YES")}
    rows = "File,TransferSyntaxUID,BurnedInAnnotation\na.png,1.2.840.10008.1.2.1,YES\nb.dcm,x,NO\n"
    run(make_table(home, files, rows=rows))

    page = client.get("/datasets/table/").content.decode()
    assert "1 image says that text is burnt into the pixels" in page
    picture, scan = Image.objects.order_by("source_id")
    for each in (page, client.get(picture.get_absolute_url()).content.decode()):
        assert "not checked" not in each
    assert picture.metadata_json["TransferSyntaxUID of the table"] == "1.2.840.10008.1.2.1"
    assert scan.metadata_json["TransferSyntaxUID"] == "x"


def test_files_that_the_catalog_did_not_check_are_looked_at_when_they_are_asked_for(
    home: Path, client: Client
) -> None:
    run(make_folder(home), "--allow-identifying")
    # As an import before the change left them, and the migration after it.
    Image.objects.update(identifying=None)
    Dataset.objects.update(imported_json={})
    migration = importlib.import_module("catalog.migrations.0008_identifying")
    with connection.cursor() as cursor:
        cursor.execute(migration.NOTE_UNCHECKED)
    page = client.get("/datasets/scans/").content.decode()
    assert "4 DICOM images were not checked" in page
    jane, plain = (Image.objects.get(source_id=name) for name in ("jane.dcm", "plain.dcm"))
    assert "was not checked" in client.get(jane.get_absolute_url()).content.decode()
    assert client.get(f"/images/{jane.pk}/file/").status_code == 302
    assert client.get(f"/images/{plain.pk}/file/").status_code == 200

    with pytest.raises(CommandError, match="--allow-identifying"):
        run(home / "scans")
    assert "4 changed" in run(home / "scans", "--allow-identifying")
    assert "were not checked" not in client.get("/datasets/scans/").content.decode()


def test_a_file_that_took_the_place_of_a_harmless_one_is_looked_at(
    home: Path, client: Client
) -> None:
    run(make_folder(home), "--allow-identifying")
    plain = Image.objects.get(source_id="plain.dcm")
    (home / "scans" / "plain.dcm").write_bytes(make_scan(**NAMED))
    assert client.get(f"/images/{plain.pk}/file/").status_code == 302


def test_the_column_is_added_without_writing_the_table_again() -> None:
    migration = importlib.import_module("catalog.migrations.0008_identifying").Migration
    (field,) = (op.field for op in migration.operations if hasattr(op, "field"))
    assert field.null
    assert not field.has_default()
