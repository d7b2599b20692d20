"""``manage.py import_dataset`` and what is in the files: a file is what it is, not its name."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from django.test import Client

from catalog.models import Dataset, Image
from catalog.tests.imaging.dicom_files import make_dicom, read_shipped
from catalog.tests.imaging.test_pillow_pictures import make_nested
from catalog.tests.importers.folder_files import make_nifti, make_picture, make_scan, write_files
from catalog.tests.importers.import_rows import row_versions
from catalog.tests.management.test_import_dataset import code_of, home, run
from vocab.tests.factories import ModalityFactory

__all__ = ["home"]
pytestmark = pytest.mark.django_db

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ANNEX = b"/annex/objects/SHA256E-s1678451--265963.png\n"
TOML = """
[dataset]
slug = "table"
title = "Table"
{dataset}
[files]
folder = "pics"
path = "{{File}}"
[[table]]
path = "t.csv"
[image]
id = "{{File}}"
{image}
"""


def make_table(
    home: Path, files: dict[str, bytes], *, image: str = "", dataset: str = "", rows: str = ""
) -> Path:
    """A dataset.toml with a table that names the files."""
    folder = write_files(home / "table", {f"pics/{name}": data for name, data in files.items()})
    (folder / "dataset.toml").write_text(TOML.format(image=image, dataset=dataset))
    (folder / "t.csv").write_text(rows or "\n".join(["File", *files]))
    return folder


def describe(source_id: str) -> tuple[str, int | None, int | None]:
    image = Image.objects.get(source_id=source_id)
    return image.file_path, image.width, image.height


def test_what_a_table_names_is_opened_and_what_is_no_picture_is_named(home: Path) -> None:
    jpeg = make_picture(400, 300, form="JPEG")
    folder = make_table(
        home,
        {
            "lfs.png": LFS,
            "annex.png": ANNEX,
            "zero.png": b"",
            "html.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
            "half.jpg": jpeg[: len(jpeg) // 2],
            "text.png": b"no picture",
            "good.png": make_picture(40, 30),
            "good.jpg": jpeg,
            "odd.mha": b"ObjectType = Image",
        },
    )
    (folder / "pics" / "link.png").symlink_to("../.git/annex/objects/x")
    with (folder / "t.csv").open("a") as table:
        table.write("\nlink.png\ngone.png")

    report = run(folder)

    assert "11 added" in report
    assert "1 files are missing" in report
    assert "2 git-annex pointers instead of images; their images have no file here: " in report
    assert "run “git annex get”" in report
    assert "1 Git LFS pointers instead of images; their images have no file here: lfs.png" in report
    assert "run “git lfs pull”" in report
    assert "1 empty files (0 bytes); their images have no file here: zero.png" in report
    assert "1 web pages instead of images; their images have no file here: html.jpg" in report
    assert "1 files that are cut short; their images have no file here: half.jpg" in report
    assert "1 files that are no image, though their names say so" in report
    assert "1 files of a format that is not read here: odd.mha" in report
    local = Image.objects.local().values_list("source_id", flat=True)
    assert sorted(local) == ["good.jpg", "good.png", "odd.mha"]
    assert describe("good.png") == ("good.png", 40, 30)
    assert describe("good.jpg") == ("good.jpg", 400, 300)
    assert describe("odd.mha") == ("odd.mha", None, None)


CUT_NAMES = {"JPEG2000": "jp2", "BMP": "bmp", "GIF": "gif", "PPM": "pgm", "AVIF": "avif"}


@pytest.mark.parametrize("has_table", [True, False], ids=["table", "folder"])
def test_files_that_are_cut_short_are_named_whatever_their_format(
    home: Path, has_table: bool
) -> None:
    whole = {end: make_picture(64, 48, form=form) for form, end in CUT_NAMES.items()}
    files = {f"whole.{end}": data for end, data in whole.items()}
    files |= {f"cut.{end}": data[:-9] for end, data in whole.items()}

    report = run(make_table(home, files) if has_table else write_files(home / "pics", files))

    assert "10 added" in report
    assert "5 files that are cut short; their images have no file here: cut." in report
    local = sorted(Image.objects.local().values_list("source_id", flat=True))
    assert local == sorted(f"whole.{end}" for end in whole)


def test_compressed_scans_that_are_cut_short_are_named(home: Path) -> None:
    whole = read_shipped("MR_small_jp2klossless.dcm")
    half = len(whole) // 2

    report = run(
        write_files(home / "scans", {"whole.dcm": whole, "cut.dcm": whole[:-half]}),
        "--allow-identifying",
    )

    assert "1 files that are cut short; their images have no file here: cut.dcm" in report
    assert [each.file_path for each in Image.objects.local()] == ["whole.dcm"]


def test_a_pyramid_in_sub_pages_has_its_whole_size_and_a_preview(
    home: Path, client: Client
) -> None:
    slide = make_nested((160_000, 120_000), (16, 12), (8, 6), big=True)
    folder = make_table(home, {"slide.ome.tif": slide, "cut.ome.tif": slide[:-80]})

    report = run(folder)

    assert "1 files that are cut short; their images have no file here: cut.ome.tif" in report
    assert describe("slide.ome.tif") == ("slide.ome.tif", 160_000, 120_000)
    image = Image.objects.get(source_id="slide.ome.tif")
    preview = client.get(f"/images/{image.pk}/preview/")
    assert (preview.status_code, preview["Content-Type"]) == (200, "image/webp")


def test_pointers_become_files_with_the_next_import(home: Path) -> None:
    folder = make_table(home, {"a.png": LFS, "b.png": make_picture()})
    run(folder)

    (folder / "pics" / "a.png").write_bytes(make_picture(9, 9))
    assert "0 added, 1 changed, 1 unchanged" in run(folder)
    assert describe("a.png") == ("a.png", 9, 9)
    assert "0 added, 0 changed, 2 unchanged" in run(folder)

    (folder / "pics" / "a.png").write_bytes(LFS)
    assert "0 added, 1 changed, 1 unchanged" in run(folder)
    assert describe("a.png") == ("", None, None)


def test_the_facts_of_dicom_files_and_volumes_that_a_table_names(home: Path) -> None:
    scan = make_scan(Modality="CT", KVP="120", PatientName="Doe^Jane", PatientID="MRN-1")
    files = {"IM1": scan, "IM2": scan + b"\0\0", "v.nii.gz": make_nifti(32, 24, 5, packed=True)}
    folder = make_table(
        home, files, image='modality = "{M}"', rows="File,M,KVP\nIM1,,9\nIM2,mr,\nv.nii.gz,mr,"
    )

    run(folder, "--allow-identifying")

    image = Image.objects.get(source_id="IM1")
    assert (image.width, image.height, code_of(image.modality)) == (5, 4, "ct")
    assert image.metadata_json["KVP"] == "9", "the table's word counts"
    assert image.metadata_json["SOPClassUID"] == "Secondary Capture Image Storage"
    assert (image.subject_id, image.sex) == ("", ""), "of persons the table tells"
    assert code_of(Image.objects.get(source_id="IM2").modality) == "mr"
    volume = Image.objects.get(source_id="v.nii.gz")
    assert (volume.width, volume.height) == (32, 24)
    assert volume.metadata_json["dimensions"] == [32, 24, 5]
    assert "3 unchanged" in run(folder, "--allow-identifying")


def test_a_folder_of_volumes_names_what_is_not_here(home: Path) -> None:
    whole = make_nifti(32, 24, 5, packed=True)
    noise = np.random.default_rng(1).integers(0, 255, 32 * 24 * 2, np.uint8).tobytes()
    cut = gzip.compress(make_nifti(32, 24, num_bytes=0) + noise)
    folder = write_files(
        home / "brains",
        {
            "participants.tsv": b"participant_id\tsex\nsub-01\tF\n",
            "sub-01/sub-01_T1w.nii.gz": ANNEX,
            "sub-02/sub-02_T1w.nii.gz": LFS,
            "sub-03/sub-03_T1w.nii.gz": b"",
            "sub-04/sub-04_T1w.nii.gz": cut[: len(cut) // 2],
            "sub-05/sub-05_T1w.nii.gz": whole,
        },
    )
    (folder / "sub-05" / "sub-05_T2w.nii.gz").symlink_to("../.git/annex/objects/x")

    report = run(folder)

    assert "brains: 6 added" in report
    assert (
        "2 git-annex pointers instead of images; their images have no file here: sub-01" in report
    )
    assert "1 Git LFS pointers" in report
    assert "1 empty files" in report
    assert "1 files that are cut short; their images have no file here: sub-04" in report
    assert [image.source_id for image in Image.objects.local()] == ["sub-05/sub-05_T1w.nii.gz"]
    image = Image.objects.get(source_id="sub-01/sub-01_T1w.nii.gz")
    assert (image.subject_id, image.sex, code_of(image.modality)) == ("01", "F", "mr")


def test_a_folder_of_pointers_alone_is_imported(home: Path) -> None:
    folder = write_files(home / "rays", {"normal/a.png": LFS, "normal/b.png": LFS})

    assert "2 Git LFS pointers" in run(folder)
    assert [str(label) for image in Image.objects.all() for label in image.label_set.all()]


def test_dicom_files_without_their_meta_information_are_found_by_content(home: Path) -> None:
    whole = {n: make_scan(SOPInstanceUID=f"1.2.{n}", Modality="CT") for n in range(4)}
    bare = {n: content[content.index(b"\x08\0\x16\0") :] for n, content in whole.items()}
    folder = write_files(
        home / "scans",
        {
            "IM000001": bare[0],
            "x.IMA": bare[1],
            "a.dcm": bare[2],
            "nopreamble.dcm": whole[3][132:],
            "DIRFILE": read_shipped("dicomdirtests/DICOMDIR"),
            "text": b"hello",
        },
    )

    report = run(folder)

    assert "scans: 4 added" in report
    assert "DICOM directories (1)" in report
    for image in Image.objects.all():
        assert (code_of(image.modality), image.width, image.height) == ("ct", 5, 4)


def test_a_directory_by_any_name_alone_is_no_image(home: Path) -> None:
    files = {"DIRFILE": read_shipped("dicomdirtests/DICOMDIR"), "a.dcm": make_scan()}

    assert "scans: 1 added" in run(write_files(home / "scans", files))


def test_copies_of_an_instance_are_one_image_and_others_are_reported(home: Path) -> None:
    one = make_scan(SOPInstanceUID="1.2.9")
    other = make_scan(SOPInstanceUID="1.2.9", KVP="7")
    folder = write_files(
        home / "scans", {"a.dcm": one, "b.dcm": other, "c.dcm": one, "d.dcm": other}
    )

    report = run(folder)

    assert "scans: 2 added" in report
    assert "2 files are exact copies of a DICOM instance" in report
    assert "left out: c.dcm, d.dcm" in report
    assert "1 DICOM files have the SOP Instance UID of another file but other bytes" in report
    assert "wrong: b.dcm" in report
    assert "2 unchanged" in run(folder)


def test_rows_of_a_table_with_the_same_instance_stay(home: Path) -> None:
    folder = make_table(home, {"a.dcm": make_scan(), "b.dcm": make_scan()})

    report = run(folder)

    assert "2 added" in report
    assert "2 images share their file's bytes with another image: a.dcm = b.dcm" in report


def test_reports_and_plans_that_a_table_names_keep_their_files_and_say_what_they_are(
    home: Path,
) -> None:
    ModalityFactory(code="rtplan"), ModalityFactory(code="sr")
    files = {name: read_shipped(name) for name in ("rtplan.dcm", "reportsi.dcm")}
    files["scan.dcm"] = make_scan(Modality="CT")
    folder = make_table(home, files, image='modality = "ct"')

    report = run(folder, "--allow-identifying")

    assert "2 DICOM objects without a picture, such as reports and plans: rtplan.dcm" in report
    assert "have no file here" not in report
    found = dict(Image.objects.values_list("source_id", "modality__code"))
    assert found == {"rtplan.dcm": "rtplan", "reportsi.dcm": "sr", "scan.dcm": "ct"}
    assert Image.objects.local().count() == 3


def test_pixel_data_that_are_too_short_are_reported(home: Path) -> None:
    short = make_dicom(np.zeros((4, 4), np.uint16), PixelData=bytes(8), SOPInstanceUID="1.2.5")
    files = {"good.dcm": make_scan(), "short.dcm": short, "cut.dcm": make_scan()[:-8]}

    report = run(write_files(home / "scans", files))

    assert "3 added" in report
    assert "1 DICOM files with fewer pixel data than their header says: short.dcm" in report
    assert "1 files that are cut short; their images have no file here: cut.dcm" in report
    assert sorted(each.source_id for each in Image.objects.local()) == ["good.dcm", "short.dcm"]


def test_the_same_bytes_in_two_splits_and_masks_are_reported(home: Path, client: Client) -> None:
    same = make_picture(20, 20)
    folder = write_files(
        home / "tumours",
        {
            "Training/no_tumor/a.png": same,
            "Testing/no_tumor/b.png": same,
            "Training/tumor/c.png": make_picture(5, 5),
            "Training/tumor/d.png": make_picture(5, 5),
            "masks/m.png": make_picture(20, 21),
            "masks/pointer.png": LFS,
        },
    )

    report = run(folder, "--modality", "mr")

    assert "4 images share their file's bytes with another image, 2 of them across splits" in report
    assert "Testing/no_tumor/b.png = Training/no_tumor/a.png; " in report
    taken = "2 images are taken for masks by their folder “masks”, and marked as “annotation” in"
    assert f"{taken} their metadata: masks/m.png, masks/pointer.png" in report
    mask = Image.objects.get(source_id="masks/m.png")
    assert (mask.label_set.count(), mask.modality) == (0, None)
    assert mask.metadata_json == {"annotation": "masks"}

    notice = "4 images have the very same file as another image of this dataset, 2 of them with"
    page = client.get(Dataset.objects.get().get_absolute_url()).content.decode()
    assert notice in page
    before = row_versions()
    assert "0 added, 0 changed, 6 unchanged" in run(folder, "--modality", "mr")
    assert row_versions() == before
    for name in ("Testing/no_tumor/b.png", "Training/tumor/d.png"):
        (folder / name).unlink()
    assert "share their file" not in run(folder)
    page = client.get(Dataset.objects.get().get_absolute_url()).content.decode()
    assert "very same file" not in page


def test_copies_in_other_datasets_are_said_on_the_pages_of_both(home: Path, client: Client) -> None:
    same = make_picture(20, 20)
    for name in ("first", "second"):
        files = {"cat/1.png": same, "cat/2.png": make_picture(20, len(name))}
        run(write_files(home / name, files))
    run(write_files(home / "third", {"cat/1.png": make_picture(7, 9)}))

    for name, other in (("first", "second"), ("second", "first")):
        page = client.get(f"/datasets/{name}/").content.decode()
        notice = page.partition('id="sharing"')[2].partition("</p>")[0]
        assert f'href="/datasets/{other}/"' in notice
        assert notice.count("href") == 1
    assert 'id="sharing"' not in client.get("/datasets/third/").content.decode()
    before = row_versions()
    run(home / "second")
    assert row_versions() == before


def test_masks_beside_their_pictures_have_no_label_and_are_reported(home: Path) -> None:
    files = {
        "benign/benign (1).png": make_picture(20, 20),
        "benign/benign (1)_mask.png": make_picture(20, 20, shade=1),
        "benign/benign (1)_mask_1.png": make_picture(20, 20, shade=2),
        "malignant/segmentation-7.png": make_picture(20, 20, shade=3),
        "malignant/roi_7.png": make_picture(20, 20, shade=4),
        "labels/unmasked.png": make_picture(20, 20, shade=5),
    }

    report = run(write_files(home / "busi", files))

    assert "2 images are taken for masks by the word “mask” in their names" in report
    assert "benign/benign (1)_mask.png, benign/benign (1)_mask_1.png" in report
    assert "1 images are taken for masks by the word “segmentation” in their names" in report
    assert "1 images are taken for masks by their folder “labels”" in report
    labelled = Image.objects.filter(label_set__isnull=False).values_list("source_id", flat=True)
    assert sorted(labelled) == ["benign/benign (1).png", "malignant/roi_7.png"]


def test_volumes_that_are_masks_are_skipped_counted_and_named(home: Path) -> None:
    files = {f"{name}.nii": make_nifti(4, 4) for name in ("a", "a_gt", "contours/b", "labelsTr/c")}

    report = run(write_files(home / "brats", files))

    assert "brats: 1 added" in report
    assert "3 files are taken for masks by their names or folders, and are no images: " in report
    assert "a_gt.nii, contours/b.nii, labelsTr/c.nii" in report
    assert "skipped: masks and segmentations (3)" in report
    listed = read_list(home / "brats.file-problems.csv")[1:]
    assert [each[1:3] for each in listed] == [
        ["skipped as a mask", f"{name}.nii"] for name in ("a_gt", "contours/b", "labelsTr/c")
    ]


def test_masks_that_a_table_names_are_reported(home: Path) -> None:
    names = ("a.png", "b.png", "masks/a.png", "b_mask.png", "c_mask.png")
    files = {name: make_picture(shade=number) for number, name in enumerate(names)}
    rows = "File,mask_path,Segmented\na.png,masks/a.png,yes\nb.png,,\nb_mask.png,,\n"
    folder = make_table(home, files, rows=rows)

    report = run(folder)

    assert "1 images are taken for masks by the word “mask” in their names" in report
    assert (
        "columns about masks or segmentations are kept as metadata of their image: mask_path;"
        in (report)
    )
    assert "2 masks that no row names" in report
    marked = Image.objects.filter(metadata_json__has_key="annotation")
    assert [each.source_id for each in marked] == ["b_mask.png"]
    assert Image.objects.get(source_id="a.png").metadata_json["mask_path"] == "masks/a.png"


def test_a_column_of_masks_as_the_files_of_a_table_is_reported(home: Path) -> None:
    files = {"1.png": make_picture(), "2.png": make_picture(shade=3)}
    rows = "id,MaskFile\nx,1.png\ny,2.png\n"
    folder = make_table(home, files, rows=rows)
    toml = (folder / "dataset.toml").read_text().replace('path = "{File}"', 'path = "{MaskFile}"')
    (folder / "dataset.toml").write_text(toml.replace('id = "{File}"', 'id = "{id}"'))

    report = run(folder)

    assert "2 images are taken for masks by the column “MaskFile”" in report


def read_list(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_every_file_of_a_problem_is_listed_with_what_to_do(home: Path) -> None:
    same = make_picture(20, 20)
    run(write_files(home / "first", {"x/a.png": same}))
    files = {f"cut{n}.png": make_picture(9, n)[:-9] for n in range(1, 7)}
    files |= {"=cmd.png": LFS, "a.png": same, "b.png": same, "masks/m.png": make_picture(7, 7)}
    names = [*files, "gone.png"]
    splits = ["", *["train"] * 7, "test", "", ""]
    rows = "File,split\n" + "\n".join(f"{a},{b}" for a, b in zip(names, splits, strict=True))
    folder = make_table(home, files, rows=rows)

    report = run(folder)

    listed, *rest = read_list(folder / "file-problems.csv")
    assert listed == ["dataset", "problem", "file", "line", "others", "what_to_do"]
    found = {each[2]: each for each in rest}
    assert len(found) == len(rest) == 11
    assert f"11 files are listed, with what to do, in {folder / 'file-problems.csv'}" in report
    for number in range(1, 7):
        cut = found[f"cut{number}.png"]
        assert cut[1:] == ["files that are cut short", f"cut{number}.png", str(number + 1), "",
                           "get them again and import again"]  # fmt: skip
    assert found["'=cmd.png"][1] == "Git LFS pointers instead of images"
    split = "the bytes of an image of another split"
    assert found["a.png"][:5] == ["table", split, "a.png", "9", "b.png | first: x/a.png"]
    assert found["b.png"][:5] == ["table", split, "b.png", "10", "a.png | first: x/a.png"]
    assert "all of them in one split" in found["a.png"][5]
    assert found["masks/m.png"][1] == "taken for a mask by their folder “masks”"
    assert found["gone.png"][1:4] == ["missing", "gone.png", "12"]
    for name in files:
        (folder / "pics" / name).write_bytes(make_picture(30, len(name)) + name.encode())
    (folder / "t.csv").write_text("File\na.png\n")
    (folder / "pics" / "a.png").write_bytes(make_picture(31, 31))
    assert "9 files are listed" in run(folder), "those that no row names any more"


def test_files_of_a_folder_are_listed_beside_it(home: Path) -> None:
    one, other = make_scan(SOPInstanceUID="1.2.9"), make_scan(SOPInstanceUID="1.2.9", KVP="7")
    files = {"a.dcm": one, "b.dcm": other, "c.dcm": one, "d.dcm": one[:-9]}
    folder = write_files(home / "scans", files)

    report = run(folder)

    path = home / "scans.file-problems.csv"
    assert f"3 files are listed, with what to do, in {path}" in report
    assert [each[1:3] for each in read_list(path)[1:]] == [
        ["the SOP Instance UID of another file, but other bytes", "b.dcm"],
        ["an exact copy of another DICOM file, left out", "c.dcm"],
        ["files that are cut short", "d.dcm"],
    ]
    for name in ("b.dcm", "c.dcm", "d.dcm"):
        (folder / name).unlink()
    run(folder)
    assert not path.exists()


def test_the_same_bytes_in_another_dataset_are_reported(home: Path) -> None:
    same = make_picture(20, 20)
    run(write_files(home / "first", {"x/a.png": same}))
    run(write_files(home / "hidden", {"x/a.png": same}))
    Dataset.objects.filter(slug="hidden").update(is_active=False)

    report = run(write_files(home / "second", {"y/b.png": same, "y/c.png": make_picture()}))

    assert "1 images have the bytes of an image of the dataset first: y/b.png = x/a.png" in report
    assert "dataset hidden" not in report
    assert "have the bytes" in run(home / "second"), "and again"
