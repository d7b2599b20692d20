"""Folders without a table: what kind they are, and what each kind tells of its images."""

import gzip
import io
import os
import struct
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.imaging.dicom import header
from catalog.imaging.dicom.deidentify import Pseudonyms
from catalog.imaging.nifti import CutShortNifti, UnreadableNifti, read_nifti_header
from catalog.imaging.problems import FileProblem
from catalog.importers.folders.bids import parse_name
from catalog.importers.folders.classes import Place, parse_place
from catalog.importers.folders.source import FolderSource, make_source_id
from catalog.importers.folders.survey import UnknownFolder, open_folder, survey_folder
from catalog.importers.rows import BadRow, ImageRow
from catalog.tests.imaging.dicom_files import make_dicom, read_shipped
from catalog.tests.importers.folder_files import (
    as_someone_else,
    make_nifti,
    make_picture,
    make_scan,
    write_files,
)

ENTRY = {"slug": "mine", "title": "Mine"}


def open_it(root: Path, **options: Any) -> FolderSource:
    pseudonyms = Pseudonyms(lambda name: f"<{name[::-1]}>", lambda uid: f"<{uid[::-1]}>")
    return open_folder(root, entry=ENTRY, pseudonyms=pseudonyms, **options)


def read_rows(root: Path, **options: Any) -> tuple[dict[str, ImageRow], dict[str, BadRow]]:
    """Images by their id, and bad rows by their path."""
    rows = list(open_it(root, **options).rows())
    images = {row.source_id: row for row in rows if isinstance(row, ImageRow)}
    bad = {row.value: row for row in rows if isinstance(row, BadRow)}
    assert len(images) + len(bad) == len(rows)
    return images, bad


def read_image(root: Path, content: bytes, name: str, **options: Any) -> ImageRow:
    images, bad = read_rows(write_files(root, {name: content}), **options)
    assert not bad
    (image,) = images.values()
    return image


# --- Pictures in class folders ---


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("normal/a.png", ("normal", "")),
        ("Pleural Effusion/deep/er/a.png", ("Pleural Effusion", "")),
        ("train/normal/a.png", ("normal", "train")),
        ("Training/normal/a.png", ("normal", "train")),
        ("val/normal/a.png", ("normal", "val")),
        ("valid/normal/a.png", ("normal", "val")),
        ("validation/normal/a.png", ("normal", "val")),
        ("TEST/normal/a.png", ("normal", "test")),
        ("test/a.png", ("", "test")),
        ("a.png", ("", "")),
        ("images/a.png", ("", "")),
        ("images/train/normal/a.png", ("normal", "train")),
        ("my_rays/train/normal/a.png", ("normal", "train")),
        ("train/test/a.png", ("test", "train")),
        ("masks/a.png", ("", "", "masks")),
        ("COVID/masks/a.png", ("", "", "masks")),
        ("train/Ground_Truth/normal/a.png", ("", "train", "Ground_Truth")),
        ("mask wearers/a.png", ("mask wearers", "")),
    ],
)
def test_class_and_split_come_from_the_folders(path: str, place: tuple[str, ...]) -> None:
    assert parse_place(path, root_name="My_Rays") == Place(*place)


def test_pictures_of_class_folders(tmp_path: Path) -> None:
    root = write_files(
        tmp_path / "rays",
        {
            "train/NORMAL/1.png": make_picture(8, 6),
            "test/Pleural_Effusion/2.JPG": make_picture(20, 10, form="JPEG"),
        },
    )

    images, bad = read_rows(root, modality="x-ray chest")

    assert list(images) == ["test/Pleural_Effusion/2.JPG", "train/NORMAL/1.png"]
    image = images["test/Pleural_Effusion/2.JPG"]
    assert image.file_path == image.source_id
    assert (image.width, image.height) == (20, 10)
    assert image.metadata == {"split": "test"}
    assert [(label.word, label.finding) for label in image.labels] == [
        ("Pleural_Effusion", "positive")
    ]
    assert image.modality == "x-ray chest"
    assert image.facts is None, "the pipeline reads them, in parallel"
    assert not bad


@pytest.mark.parametrize(
    ("form", "suffix"),
    [
        ("PNG", "png"),
        ("JPEG", "jpeg"),
        ("TIFF", "tif"),
        ("BMP", "bmp"),
        ("GIF", "gif"),
        ("WEBP", "webp"),
        ("PPM", "pgm"),
        ("JPEG2000", "jp2"),
        ("AVIF", "avif"),
    ],
)
def test_every_common_picture_format_tells_its_size(tmp_path: Path, form: str, suffix: str) -> None:
    image = read_image(tmp_path, make_picture(30, 20, form=form), f"a.{suffix}")

    assert (image.width, image.height) == (30, 20)


def make_huge_png(width: int, height: int) -> bytes:
    """A PNG whose header claims a size; its pixels do not matter."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def test_a_large_picture_is_read_and_a_decompression_bomb_refused(tmp_path: Path) -> None:
    files = {"large.png": make_huge_png(12_000, 12_000), "trap.png": make_huge_png(90_000, 90_000)}

    images, bad = read_rows(write_files(tmp_path, files))

    assert (images["large.png"].width, images["large.png"].height) == (12_000, 12_000)
    assert "more pixels" in bad["trap.png"].reason


def test_a_messy_folder_is_read_and_its_bad_files_are_named(tmp_path: Path) -> None:
    """What a folder that people work in looks like."""
    outside = tmp_path / "outside.png"
    outside.write_bytes(make_picture())
    root = write_files(
        tmp_path / "rays",
        {
            "normal/good.png": make_picture(),
            "normal/empty.png": b"",
            "normal/text.jpg": b"this is no picture",
            "normal/cut.png": make_picture()[:20],
            "normal/wrong suffix.png": make_picture(form="JPEG"),
            "normal/Thumbs.db": b"thumbs",
            "normal/.DS_Store": b"finder",
            "__MACOSX/._good.png": b"resource fork",
            ".cache/hidden.png": make_picture(),
            "notes.txt": b"notes",
            "LICENSE": b"free",
        },
    )
    (root / "normal" / "link.png").symlink_to("good.png")
    (root / "normal" / "escape.png").symlink_to(outside)
    (root / "linked folder").symlink_to(tmp_path)
    (root / "normal" / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(root / "normal" / "pipe.png")
    with (Path(os.fsdecode(os.fsencode(root) + b"/normal/caf\xe9.png"))).open("wb") as file:
        file.write(make_picture())

    source = open_it(root)
    rows = list(source.rows())

    images = [row for row in rows if isinstance(row, ImageRow)]
    good = [row.source_id for row in images if row.file_path]
    assert good == ["normal/good.png", "normal/link.png", "normal/wrong suffix.png"]
    assert {row.source_id: row.problem for row in images if not row.file_path} == {
        "normal/cut.png": (FileProblem.CUT_SHORT, "normal/cut.png"),
        "normal/dangling.png": (FileProblem.BROKEN_LINK, "normal/dangling.png"),
        "normal/empty.png": (FileProblem.EMPTY, "normal/empty.png"),
    }
    bad = {row.value: row.reason for row in rows if isinstance(row, BadRow)}
    assert bad.keys() == {
        "normal/text.jpg",
        "normal/escape.png",
        "normal/caf\\udce9.png",
    }
    assert "not a picture, though its name says so" in bad["normal/text.jpg"]
    assert "leads out of the dataset's folder" in bad["normal/escape.png"]
    assert "rename the file" in bad["normal/caf\\udce9.png"]
    assert source.skipped == {
        ".db files": 1,
        ".txt files": 1,
        "files without a known suffix": 1,
    }
    again = list(source.rows())
    assert again == rows
    assert sum(source.skipped.values()) == 3, "counted anew"


def test_an_id_is_the_path_and_a_very_long_one_stays_unique() -> None:
    long = "/".join(["a" * 100] * 3)

    assert make_source_id("train/a.png") == "train/a.png"
    ids = {make_source_id(f"{name}/{long}/x.dcm") for name in "pqr"}
    assert len(ids) == 3
    assert all(len(each) == 255 and each.endswith("/x.dcm") for each in ids)


# --- DICOM ---


def test_dicom_files_are_told_by_their_content(tmp_path: Path) -> None:
    elements = {
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
        "PatientSex": "F",
        "PatientAge": "061Y",
        "KVP": "120",
    }
    files = {"IM0001": make_scan(**elements), "a/b.ima": make_scan(), "c/d.jpg": make_scan()}

    images, bad = read_rows(write_files(tmp_path, files))

    assert sorted(images) == ["IM0001", "a/b.ima", "c/d.jpg"]
    image = images["IM0001"]
    assert (image.modality, image.area, image.sex, image.age_years) == ("CT", "CHEST", "F", 61)
    assert (image.width, image.height) == (5, 4)
    assert image.metadata["KVP"] == 120
    assert not bad


def test_nothing_that_identifies_a_person_is_kept_of_a_dicom_file(tmp_path: Path) -> None:
    scan = make_scan(
        PatientName="Doe^Jane",
        PatientID="MRN-4711",
        PatientBirthDate="19550820",
        PatientAddress="1 Main Street",
        OtherPatientIDs="SSN-1",
        InstitutionName="St. Elsewhere",
        ReferringPhysicianName="Who^Doctor",
        AccessionNumber="ACC-99",
        StudyDate="20200102",
        StudyDescription="Jane's chest",
        ImageComments="call Jane",
        StudyInstanceUID="1.2.826.0.1.99999",
    )

    image = read_image(tmp_path, scan, "a.dcm")

    shown = repr(image)
    for secret in ("Jane", "MRN", "1955", "Main", "SSN", "Elsewhere", "Who", "ACC", "2020", "999"):
        assert secret not in shown.replace("<1174-NRM>", ""), secret
    assert image.subject_id == "<1174-NRM>", "the pseudonym that the installation makes of it"


def test_dicom_with_more_parts_than_are_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header, "MAX_HEADER_READS", 9)
    images, bad = read_rows(write_files(tmp_path, {"a.dcm": make_scan()}))
    assert (images["a.dcm"].problem, bad) == ((FileProblem.TOO_MUCH, "a.dcm"), {})


def test_the_patient_id_of_a_deidentified_file_is_kept(tmp_path: Path) -> None:
    scan = make_scan(PatientID="LIDC-IDRI-0001", PatientIdentityRemoved="YES")

    assert read_image(tmp_path, scan, "a.dcm").subject_id == "LIDC-IDRI-0001"


def test_no_patient_id_makes_no_pseudonym(tmp_path: Path) -> None:
    assert read_image(tmp_path, make_scan(PatientID=""), "a.dcm").subject_id == ""


def test_dicom_objects_without_an_image_are_skipped_and_damaged_ones_reported(
    tmp_path: Path,
) -> None:
    root = write_files(
        tmp_path,
        {
            "good.dcm": read_shipped("CT_small.dcm"),
            "plan.dcm": read_shipped("rtplan.dcm"),
            "no_pixels.dcm": make_dicom(),
            "DICOMDIR": read_shipped("dicomdirtests/DICOMDIR"),
            "cut.dcm": read_shipped("CT_small.dcm")[:900],
            "no_mark.dcm": b"\0" * 500,
            "readme.txt": b"hello",
        },
    )

    source = open_it(root)
    rows = list(source.rows())

    images = [row for row in rows if isinstance(row, ImageRow)]
    assert [row.source_id for row in images if row.file_path] == ["good.dcm"]
    bad = {row.value: row.reason for row in rows if isinstance(row, BadRow)}
    assert bad.keys() == {"cut.dcm", "no_mark.dcm", "no_pixels.dcm"}
    assert "lacks the mark" in bad["no_mark.dcm"]
    assert "may be cut short" in bad["cut.dcm"]
    assert source.skipped == {
        "DICOM objects without an image": 1,
        "DICOM directories": 1,
        ".txt files": 1,
    }


# --- NIfTI ---


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_volume_tells_its_size(version: int, order: str, packed: bool) -> None:
    content = make_nifti(64, 48, 5, 3, version=version, order=order, packed=packed)

    header = read_nifti_header(io.BytesIO(content))

    assert header.dimensions == (64, 48, 5, 3)
    assert header.voxel_size == (1.0, 1.0, 2.5)
    assert (header.unit, header.datatype) == ("mm", "int16")


def test_a_nifti_2_volume_may_be_longer_than_16_bits_can_say() -> None:
    content = make_nifti(100_000, 2, version=2)

    assert read_nifti_header(io.BytesIO(content)).dimensions == (100_000, 2)


@pytest.mark.parametrize(
    ("code", "name", "bits"),
    [(1, "bit", 1), (2, "uint8", 8), (128, "rgb24", 24), (1536, "float128", 128),
     (2048, "complex256", 256), (2304, "rgba32", 32)],
)  # fmt: skip
def test_every_datatype_has_its_name_and_its_size(code: int, name: str, bits: int) -> None:
    whole = make_nifti(8, 8, datatype=code, num_bytes=8 * bits)

    assert read_nifti_header(io.BytesIO(whole)).datatype == name
    with pytest.raises(UnreadableNifti, match="1 bytes of its voxels are missing"):
        read_nifti_header(io.BytesIO(whole[:-1]))


def make_pair(*, version: int = 1) -> tuple[bytes, bytes]:
    """The header and the voxels of a volume of 4 x 4 x 2 voxels."""
    mark, start = (b"ni1\0", 344) if version == 1 else (b"ni2\0\r\n\x1a\n", 4)
    whole = swap(make_nifti(4, 4, 2, version=version), start, mark)
    offset = struct.pack("<f", 0) if version == 1 else struct.pack("<q", 0)
    length = 348 if version == 1 else 540
    return swap(whole, 108 if version == 1 else 168, offset)[:length], bytes(64)


@pytest.mark.parametrize("version", [1, 2])
def test_a_header_and_its_voxels_are_one_volume(tmp_path: Path, version: int) -> None:
    header, voxels = make_pair(version=version)
    files = {"sub-1_T1w.hdr": header, "sub-1_T1w.img": voxels, "sub-1_T1w.json": b'{"EchoTime": 2}'}
    source = open_it(write_files(tmp_path, files))
    (row,) = source.rows()

    assert isinstance(row, ImageRow)
    assert (row.file_path, row.beside) == ("sub-1_T1w.hdr", ("sub-1_T1w.img",))
    assert row.metadata["dimensions"] == [4, 4, 2]
    assert row.metadata["EchoTime"] == 2
    assert dict(source.skipped) == {"voxels of pairs, which belong to their .hdr files": 1,
                                    ".json files": 1}  # fmt: skip


def test_a_header_without_its_voxels_says_what_is_missing(tmp_path: Path) -> None:
    header, voxels = make_pair()
    files = {"a.hdr": header, "b.hdr": header, "b.img": voxels[:-1], "c.nii": make_nifti(4, 4)}
    images, bad = read_rows(write_files(tmp_path, files))

    assert "put a.img there" in bad["a.hdr"].reason
    assert images["b.hdr"].problem == (FileProblem.CUT_SHORT, "b.hdr")


def swap(content: bytes, at: int, data: bytes) -> bytes:
    return content[:at] + data + content[at + len(data) :]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a NIfTI file"),
        (b"hello world" * 90, "not a NIfTI file"),
        (make_nifti(4, 4)[:200], "ends after 200 bytes"),
        (make_nifti(4, 4, version=2)[:400], "ends after 400 bytes"),
        (make_nifti(4, 4, mark=b"ni1\0"), "mark of a single-file NIfTI is missing"),
        (make_nifti(4, 4, version=2, mark=b"n+2\0\n\n\x1a\n"), "mark of a single-file"),
        (make_nifti(4, 4, count=0), "it has 0 dimensions"),
        (make_nifti(4, 4, count=9), "it has 9 dimensions"),
        (make_nifti(4, -4), "4 × -4 voxels"),
        (make_nifti(4, 0), "4 × 0 voxels"),
        (make_nifti(2**40, 1, version=2, num_bytes=0), "voxels are not possible"),
        (make_nifti(4, 4, datatype=3), "the datatype 3"),
        (make_nifti(4, 4, datatype=0), "the datatype 0"),
        (make_nifti(4, 4, datatype=255), "the datatype 255"),
        (make_nifti(4, 4, num_bytes=30), "2 bytes of its voxels are missing"),
        (swap(make_nifti(4, 4), 108, struct.pack("<f", float("nan"))), "begin outside"),
        (swap(make_nifti(4, 4), 108, struct.pack("<f", -1)), "begin outside"),
        (b"\x1f\x8b" + b"\xff" * 100, "gzip stream cannot be inflated"),
        (gzip.compress(b"short", mtime=0), "not a NIfTI file"),
        (gzip.compress(b"", mtime=0), "not a NIfTI file"),
        (make_nifti(64, 64, packed=True)[:30], "header"),
    ],
)
def test_a_damaged_volume_says_what_is_wrong(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableNifti) as raised:
        read_nifti_header(io.BytesIO(content))

    assert reason in str(raised.value)


def test_an_invalid_voxel_size_is_ignored() -> None:
    header = read_nifti_header(io.BytesIO(make_nifti(4, 4, voxel=(float("nan"), 1.0), units=0)))

    assert (header.voxel_size, header.unit) == ((), "")


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_gzip_bomb_does_not_fill_the_memory(is_whole: bool) -> None:
    bomb = make_nifti(10_000, 10_000, num_bytes=200_000_000 - (not is_whole), packed=True)
    file = io.BytesIO(bomb)
    tracemalloc.start()

    if is_whole:
        assert read_nifti_header(file).dimensions == (10_000, 10_000)
    else:
        with pytest.raises(CutShortNifti):
            read_nifti_header(file)

    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "extra", [b"", b"\0" * 512, gzip.compress(b""), gzip.compress(b"appended")], ids=range(4)
)
def test_a_compressed_volume_may_have_several_members_and_padding(extra: bytes) -> None:
    plain = make_nifti(64, 64)
    packed = gzip.compress(plain[:3000]) + gzip.compress(plain[3000:]) + extra

    assert read_nifti_header(io.BytesIO(packed)).dimensions == (64, 64)


@pytest.mark.parametrize("length", [-1, -4, -8, -9, -100, 500])
def test_a_compressed_volume_that_is_cut_short_is_noticed(length: int) -> None:
    noise = np.random.default_rng(1).integers(0, 255, 8192, np.uint8).tobytes()
    packed = gzip.compress(make_nifti(64, 64, num_bytes=0) + noise, mtime=0)

    assert read_nifti_header(io.BytesIO(packed)).dimensions == (64, 64)
    with pytest.raises(CutShortNifti):
        read_nifti_header(io.BytesIO(packed[:length]))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([make_nifti(4, 4), make_nifti(4, 4, version=2), make_nifti(4, 4, packed=True)]),
    st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, 700),
)
def test_no_bytes_make_the_header_reader_fail(
    content: bytes, changes: list[tuple[int, bytes]], length: int
) -> None:
    for at, data in changes:
        content = swap(content, at, data)
    with suppress(UnreadableNifti):
        header = read_nifti_header(io.BytesIO(content[:length]))
        assert 1 <= len(header.dimensions) <= 7


@pytest.mark.parametrize(
    ("path", "subject", "entities", "suffix", "modality"),
    [
        ("sub-01/anat/sub-01_T1w.nii.gz", "01", {}, "T1w", "mr"),
        (
            "sub-01_ses-pre_task-rest_acq-fast_dir-AP_run-02_echo-1_bold.nii",
            "01",
            {
                "session": "pre",
                "task": "rest",
                "acquisition": "fast",
                "direction": "AP",
                "run": "02",
                "echo": "1",
            },
            "bold",
            "mr",
        ),
        (
            "sub-X_space-MNI152NLin2009cAsym_desc-preproc_T2w.NII.GZ",
            "X",
            {"space": "MNI152NLin2009cAsym", "description": "preproc"},
            "T2w",
            "mr",
        ),
        ("sub-1_FLAIR.nii", "1", {}, "FLAIR", "mr"),
        ("sub-1_dwi.nii", "1", {}, "dwi", "mr"),
        ("sub-1_trc-FDG_pet.nii.gz", "1", {"tracer": "FDG"}, "pet", "pt"),
        ("sub-1_ct.nii.gz", "1", {}, "ct", "ct"),
        ("sub-1_label-GM_probseg.nii.gz", "1", {"label": "GM"}, "probseg", ""),
        ("BraTS_001/BraTS_001_flair.nii", "", {}, "flair", "mr"),
        ("sub-1_split-2_bold.nii", "1", {"file_split": "2"}, "bold", "mr"),
        ("volume-7.nii", "", {}, "", ""),
        ("sub-1_odd-thing_bold.nii", "1", {}, "bold", "mr"),
        ("scan 3 (copy).nii", "", {}, "", ""),
    ],
)
def test_bids_names_are_parsed(
    path: str, subject: str, entities: dict[str, str], suffix: str, modality: str
) -> None:
    assert parse_name(path) == (subject, entities, suffix, modality)


def make_bids(root: Path, participants: bytes, sidecar: bytes = b"") -> Path:
    files = {
        "dataset_description.json": b"{}",
        "participants.tsv": participants,
        "sub-01/anat/sub-01_T1w.nii.gz": make_nifti(64, 48, 5, packed=True),
        "sub-02/ses-1/func/sub-02_ses-1_task-rest_bold.nii": make_nifti(4, 4, 3, 2),
        "derivatives/sub-02_mask.nii": make_nifti(4, 4, 3, datatype=2),
    }
    return write_files(root, files | ({"participants.json": sidecar} if sidecar else {}))


def test_a_bids_tree(tmp_path: Path) -> None:
    root = make_bids(tmp_path, b"participant_id\tage\tsex\nsub-01\t34\tF\nsub-02\t57.5\tmale\n")

    images, bad = read_rows(root, modality="mri")

    assert not bad
    image = images["sub-01/anat/sub-01_T1w.nii.gz"]
    assert (image.subject_id, image.modality, image.sex, image.age_years) == ("01", "mr", "F", 34)
    assert (image.width, image.height) == (64, 48)
    assert image.metadata == {
        "suffix": "T1w",
        "dimensions": [64, 48, 5],
        "voxel_size": [1.0, 1.0, 2.5],
        "voxel_unit": "mm",
        "datatype": "int16",
    }
    bold = images["sub-02/ses-1/func/sub-02_ses-1_task-rest_bold.nii"]
    assert (bold.subject_id, bold.sex, bold.age_years) == ("02", "M", 57.5)
    assert bold.metadata.items() >= {"session": "1", "task": "rest", "suffix": "bold"}.items()
    assert len(images) == 2, "a mask is no image"


@pytest.mark.parametrize(
    ("row", "sidecar", "sex", "age", "kept"),
    [
        (b"sub-01\t89+\tf", b"", "F", 89, {"age": "89+"}),
        (b"sub-01\tn/a\tn/a", b"", "", None, {}),
        (b"sub-01\told\tyes", b"", "", None, {"age": "old", "sex": "yes"}),
        (b"01\t40\tM", b"", "M", 40, {}),
        (b"sub-01", b"", "", None, {}),
        (b"sub-01\t6\tF", b'{"age": {"Units": "months"}}', "F", 0.5, {}),
        (b"sub-01\t30\tF", b'{"age": {"Units": "year"}}', "F", 30, {}),
        (b"sub-01\t30\tF", b'{"age": {"Units": "moons"}}', "F", None, {"age": "30"}),
        (b"sub-01\t30\tF", b"{ torn", "F", 30, {}),
        (b"sub-01\t30\tF", b'{"age": [1]}', "F", 30, {}),
        (b"sub-01\t30\tF\nsub-01\t31\tF", b"", "F", None, {}),
    ],
)
def test_dirty_participants(
    tmp_path: Path, row: bytes, sidecar: bytes, sex: str, age: float | None, kept: dict[str, str]
) -> None:
    table = b"\xef\xbb\xbfparticipant_id\tage\tsex\r\n" + row.replace(b"\n", b"\r\n") + b"\r\n"

    images, _ = read_rows(make_bids(tmp_path, table, sidecar))

    image = images["sub-01/anat/sub-01_T1w.nii.gz"]
    assert (image.sex, image.age_years) == (sex, age)
    assert {name: image.metadata[name] for name in ("sex", "age") if name in image.metadata} == kept


@pytest.mark.parametrize("table", [b"", b"\xff\xfe\0\0", b"\n\n", b"x" * 200_000, b"a\tb\n" * 9])
def test_an_unreadable_participants_table_loses_no_image(tmp_path: Path, table: bytes) -> None:
    images, bad = read_rows(make_bids(tmp_path, table))

    assert len(images) == 2
    assert not bad


def test_a_damaged_volume_is_a_bad_row(tmp_path: Path) -> None:
    files = {"a.nii": make_nifti(4, 4), "b.nii": make_nifti(4, 0), "c.nii.gz": b"text"}

    images, bad = read_rows(write_files(tmp_path, files))

    assert list(images) == ["a.nii"]
    assert sorted(bad) == ["b.nii", "c.nii.gz"]
    assert "or remove it" in bad["b.nii"].reason
    assert bad["b.nii"].source_id == "b.nii", "so that it is not removed"


# --- Which kind it is ---


def test_a_folder_is_counted_before_it_is_read(tmp_path: Path) -> None:
    files = {"a/1.png": make_picture(), "a/2.png": make_picture(), "a/notes.txt": b""}

    assert open_it(write_files(tmp_path, files)).num_rows == 2


def test_several_kinds_are_named_with_an_example_and_one_can_be_chosen(tmp_path: Path) -> None:
    files = {"scans/IM1": make_scan(), "shots/a.png": make_picture(), "v.nii": make_nifti(4, 4)}
    root = write_files(tmp_path, files)

    with pytest.raises(UnknownFolder) as raised:
        open_it(root)

    message = str(raised.value)
    assert "(pictures: 1, DICOM files: 1, NIfTI files: 1)" in message
    assert "shots/a.png, scans/IM1, v.nii" in message
    assert "--kind" in message
    for kind, path in (("dicom", "scans/IM1"), ("pictures", "shots/a.png"), ("nifti", "v.nii")):
        source = open_it(root, kind=kind)
        assert [row.source_id for row in source.rows()] == [path]
        assert sum(source.skipped.values()) == 2


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, "it is empty"),
        ({".hidden.png": b""}, "it is empty, except for hidden files"),
        ({"a.csv": b"", "b.csv": b"", "c.zip": b""}, ".csv files: 2, .zip files: 1"),
        ({f"a.x{n}": b"" for n in range(9)}, "other files: 3"),
    ],
)
def test_a_folder_without_images_says_what_is_there_and_what_is_expected(
    tmp_path: Path, files: dict[str, bytes], found: str
) -> None:
    with pytest.raises(UnknownFolder) as raised:
        open_it(write_files(tmp_path / "x", files))

    assert found in str(raised.value)
    assert "pictures in folders named after their class" in str(raised.value)
    assert "dataset.toml" in str(raised.value)


def test_a_kind_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownFolder, match=r"has no DICOM files \(pictures: 1\)"):
        open_it(write_files(tmp_path, {"a.png": make_picture()}), kind="dicom")


def test_unreadable_files_are_counted_separately(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("/etc/hostname")

    survey = survey_folder(tmp_path)

    assert (survey.unreadable, sum(survey.counts.values())) == (1, 0)


def test_a_folder_that_cannot_be_listed_stops_the_import(tmp_path: Path) -> None:
    """The images in it would be removed."""
    root = write_files(tmp_path, {"a/b.png": make_picture(), "locked/c.png": make_picture()})
    (root / "locked").chmod(0)

    with as_someone_else(root), pytest.raises(PermissionError, match="locked"):
        open_it(root)
