"""The made-up radiographs: the same everywhere, of sensible people, with findings one can see."""

import hashlib
import io
import struct
import subprocess
import sys
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import catalog
from catalog.demo.phantoms.chest import NO_FINDING, SUBJECTS, Phantom, iter_phantoms, render_phantom
from catalog.demo.phantoms.drawing import FULL, Dice, blur, measure_ellipse, soften, trace_curve
from catalog.demo.phantoms.findings import FINDINGS
from catalog.demo.phantoms.png import encode_gray_png
from catalog.imaging.paths import check_relative_path

PHANTOMS = list(iter_phantoms())
BY_NAME = {phantom.file_name: phantom for phantom in PHANTOMS}


def pixels_of(phantom: Phantom) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(render_phantom(phantom)))).astype(int)


# --- The same bytes everywhere ---


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        (
            "subject-001/subject-001-01.png",
            "a9fe14895ed7e28b67e3e23f8c37cce4630cff98e725b27fd18f7020644f6215",
        ),
        (
            "subject-100/subject-100-02.png",
            "18a98bb379425738563c252c4e2079d46296a6d3881e1acd53f91e90f21bc77f",
        ),
        (
            "subject-200/subject-200-01.png",
            "8972e326db98515a5dd210adb2b7cce036293bdd22e2e5d3e6041b15b7278d31",
        ),
    ],
)
def test_a_phantom_has_the_same_bytes_on_every_machine(name: str, sha256: str) -> None:
    """When a drawing is changed on purpose: new hashes here, a new drawing version in the demo."""
    assert hashlib.sha256(render_phantom(BY_NAME[name])).hexdigest() == sha256


def test_what_is_said_of_the_phantoms_is_the_same_on_every_machine() -> None:
    lines = "\n".join(repr(phantom) for phantom in PHANTOMS)
    assert (
        hashlib.sha256(lines.encode()).hexdigest()
        == "8576bc94fc0cf6c6e73372ea67c27bbeb1147565c8296c04bd41c36c5182eaab"
    )


def test_neither_order_nor_process_changes_a_phantom() -> None:
    name = PHANTOMS[-1].file_name
    code = (
        "import hashlib; from catalog.demo.phantoms.chest import *\n"
        f"phantom = next(p for p in iter_phantoms() if p.file_name == {name!r})\n"
        "print(hashlib.sha256(render_phantom(phantom)).hexdigest())"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(catalog.__file__).parent.parent,
        env={"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == hashlib.sha256(render_phantom(BY_NAME[name])).hexdigest()


# --- The people ---


def test_there_are_enough_images_of_enough_subjects() -> None:
    assert 640 <= len(PHANTOMS) <= 720
    images = Counter(phantom.subject_id for phantom in PHANTOMS)
    assert len(images) == SUBJECTS == 200
    assert {2, 3, 4} <= set(images.values()) <= {2, 3, 4, 5}


def test_names_are_safe_unique_and_in_order() -> None:
    names = [phantom.file_name for phantom in PHANTOMS]
    assert names == sorted(set(names))
    for phantom in PHANTOMS:
        check_relative_path(phantom.file_name)
        assert phantom.file_name.startswith(f"{phantom.subject_id}/{phantom.subject_id}-")


def test_a_subject_is_one_person() -> None:
    for subject in {phantom.subject_id for phantom in PHANTOMS}:
        theirs = [phantom for phantom in PHANTOMS if phantom.subject_id == subject]
        assert len({phantom.sex for phantom in theirs}) == 1
        ages = [phantom.age_years for phantom in theirs]
        assert ages == sorted(ages)
        assert ages[-1] - ages[0] <= 1


def test_people_are_of_every_sex_and_of_adult_age() -> None:
    sexes = Counter(phantom.sex for phantom in PHANTOMS)
    assert set(sexes) == {"F", "M", "O", ""}
    assert min(sexes["F"], sexes["M"]) > 250
    assert all(18 <= phantom.age_years <= 90 for phantom in PHANTOMS)
    assert len({phantom.age_years // 10 for phantom in PHANTOMS}) >= 6


def test_every_label_is_met_often_enough_to_learn_from() -> None:
    labels = Counter(label for phantom in PHANTOMS for label in phantom.labels)
    assert set(labels) == {NO_FINDING, *FINDINGS}
    assert min(labels.values()) >= 50
    assert sum(len(phantom.labels) > 1 for phantom in PHANTOMS) >= 100


def test_no_finding_stands_alone() -> None:
    for phantom in PHANTOMS:
        assert phantom.labels == tuple(sorted(set(phantom.labels)))
        assert phantom.labels == (NO_FINDING,) or NO_FINDING not in phantom.labels


# --- The pictures ---


def test_pictures_are_gray_and_as_large_as_said() -> None:
    phantom = PHANTOMS[0]
    picture = Image.open(io.BytesIO(render_phantom(phantom)))
    assert (picture.format, picture.mode) == ("PNG", "L")
    assert picture.size == (phantom.width, phantom.height)


def test_pictures_use_the_range_of_grays_without_being_blown_out() -> None:
    for phantom in PHANTOMS[::40]:
        pixels = pixels_of(phantom)
        assert pixels[:10, 90:130].max() > 80, "the neck"
        assert np.percentile(pixels, 5) < 40
        assert np.percentile(pixels, 95) > 130
        assert (pixels == 255).mean() < 0.002


def test_every_picture_says_that_it_is_synthetic() -> None:
    for phantom in PHANTOMS[::60]:
        mark = pixels_of(phantom)[4:11, 4:42]
        assert (mark == 150).sum() > 60


def test_lungs_are_darker_than_what_lies_between_them() -> None:
    for phantom in PHANTOMS[::25]:
        if phantom.labels == (NO_FINDING,):
            pixels = pixels_of(phantom)
            lungs = np.concatenate([pixels[70:110, 45:70], pixels[70:110, 140:165]])
            assert lungs.mean() + 40 < pixels[70:110, 95:112].mean()


def difference(phantom: Phantom, label: str) -> np.ndarray:
    """What `label` adds to the picture of an otherwise healthy chest."""
    ill = replace(phantom, labels=(label,))
    return pixels_of(ill) - pixels_of(replace(phantom, labels=(NO_FINDING,)))


@pytest.mark.parametrize("label", FINDINGS)
def test_every_finding_is_seen_and_is_all_that_changes(label: str) -> None:
    for phantom in PHANTOMS[::100]:
        change = difference(phantom, label)
        seen = abs(change) > 20
        assert seen.sum() > 60, phantom.file_name
        assert not change[:14].any(), "neck and marks stay as they are"
        assert (abs(change) <= 2).mean() > 0.5


@pytest.mark.parametrize("label", sorted({*FINDINGS} - {"pneumothorax"}))
def test_findings_are_denser_than_air(label: str) -> None:
    change = difference(PHANTOMS[0], label)
    assert change[change > 20].sum() > -3 * change[change < -20].sum()


def test_a_pneumothorax_is_darker_than_lung() -> None:
    change = difference(PHANTOMS[0], "pneumothorax")
    assert (change < -15).sum() > 150


def test_a_nodule_is_a_small_disc() -> None:
    seen = difference(PHANTOMS[0], "nodule") > 20
    rows, columns = np.nonzero(seen)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert 8 <= height <= 20
    assert abs(height - width) <= 3
    assert seen.sum() > 0.6 * height * width


def test_the_same_subject_keeps_its_build() -> None:
    first, second, other = (
        pixels_of(replace(phantom, labels=(NO_FINDING,), view="PA"))
        for phantom in (PHANTOMS[0], PHANTOMS[1], PHANTOMS[-1])
    )
    assert PHANTOMS[0].subject_id == PHANTOMS[1].subject_id
    assert abs(first - second).mean() < abs(first - other).mean()


# --- What they are drawn with ---


def test_dice_depend_on_names_alone() -> None:
    dice = Dice("subject-001", "a")
    rolls = [dice.roll("x", 1, 6), dice.roll("y", 1, 6), dice.roll("x", 1, 6)]
    assert rolls[0] == rolls[2]
    assert dice.bytes("x", 4) == Dice("subject-001", "a").bytes("x", 4)
    assert dice.bytes("x", 4) != Dice("subject-001", "b").bytes("x", 4)
    many = Counter(Dice(str(number)).roll("x", 1, 6) for number in range(600))
    assert set(many) == {1, 2, 3, 4, 5, 6}
    assert min(many.values()) > 60


def test_covers_rise_smoothly_from_none_to_full() -> None:
    cover = soften(np.arange(-20, 21, dtype=np.int32), 10)
    assert cover[:11].tolist() == [0] * 11
    assert cover[-11:].tolist() == [FULL] * 11
    assert cover[20] == FULL // 2
    assert (np.diff(cover) >= 0).all()


def test_an_ellipse_is_zero_at_its_edge() -> None:
    zero = np.array([0])
    assert measure_ellipse(zero, zero, 30, 20) > 0
    assert measure_ellipse(np.array([30]), zero, 30, 20) == 0
    assert measure_ellipse(zero, np.array([25]), 30, 20) < 0


def test_a_curve_passes_its_points_and_is_level_beyond() -> None:
    curve = trace_curve([(100, 0), (500, 400)], np.arange(1000, dtype=np.int32), rounding=5)
    assert (curve[300], curve[0], curve[999]) == (200, 0, 400)


def test_a_blur_keeps_what_is_even() -> None:
    assert (blur(np.full((20, 20), 7), 3) == 7).all()


# --- The PNG writer ---


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (208, 208), (1, 70_000), (400, 300)])
def test_a_png_holds_the_pixels_exactly(shape: tuple[int, int]) -> None:
    data = hashlib.shake_128(b"png").digest(shape[0] * shape[1])
    pixels = np.frombuffer(data, np.uint8).reshape(shape)
    content = encode_gray_png(pixels)
    assert (np.asarray(Image.open(io.BytesIO(content))) == pixels).all()


def test_a_png_has_right_checksums_and_is_stored_not_compressed() -> None:
    content = encode_gray_png(np.zeros((100, 1000), np.uint8))
    assert len(content) > 100 * 1001
    at, kinds = 8, []
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kinds.append(content[at + 4 : at + 8])
        chunk = content[at + 4 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(
            chunk
        )
        if kinds[-1] == b"IDAT":
            assert zlib.decompress(chunk[4:]) == bytes(100 * 1001)
        at += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2)), np.zeros((2, 2, 3), np.uint8), np.zeros((0, 5), np.uint8)]
)
def test_a_png_of_anything_else_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="two-dimensional"):
        encode_gray_png(pixels)
