"""Chest phantoms: made-up radiographs of made-up people, the first pictures of a new catalog.

Every picture is drawn from its subject's and its own name with whole numbers only, so that its
bytes are the same on every machine, Python and library version. They have no medical meaning. A
change of the drawing needs new hashes in the tests and a new DRAWING_VERSION.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from catalog.demo.phantoms.anatomy import (
    SIDES,
    Anatomy,
    draw_body,
    draw_grain,
    draw_vessels,
    lay_out,
)
from catalog.demo.phantoms.drawing import SIZE, Dice, write_text
from catalog.demo.phantoms.findings import (
    ATELECTASIS,
    CARDIOMEGALY,
    FINDINGS,
    choose_side,
    draw_findings,
)
from catalog.demo.phantoms.png import encode_gray_png

SUBJECTS = 200
NO_FINDING = "no-finding"
# Images in a hundred that have at least this many findings: 41 have none.
_AT_LEAST = (59, 22, 6)
_WEIGHTS = dict(zip(FINDINGS, (17, 19, 15, 18, 20, 11), strict=True))
_TEXT_GRAY = 150


@dataclass(frozen=True, slots=True)
class Phantom:
    """One picture to be drawn, with what a catalog says of it. Sizes in pixels."""

    file_name: str
    subject_id: str
    sex: str  # F, M, O, or empty where it is not told
    age_years: int
    labels: tuple[str, ...]  # codes of the label vocabulary, in its alphabetical order
    view: str  # PA or AP
    width: int
    height: int


def iter_phantoms() -> Iterator[Phantom]:
    """Every phantom, subject by subject in the order of file names."""
    for number in range(1, SUBJECTS + 1):
        yield from _iter_subject(f"subject-{number:03}")


def render_phantom(phantom: Phantom) -> bytes:
    """The picture as an 8-bit grayscale PNG of `width` by `height` pixels."""
    dice = Dice(phantom.subject_id, PurePosixPath(phantom.file_name).stem)
    scene = lay_out(_build_anatomy(phantom, dice))
    change = draw_findings(scene, phantom.labels, dice)
    vessels = draw_vessels(scene, dice)
    light = draw_body(scene, change.texture) + change.light
    for side in SIDES:
        light += vessels * scene.aired[side] * change.texture[side] >> 16
    light = light * dice.roll("exposure", 94, 106) // 100
    # Grain grows with brightness, and leaves the dark around the body quiet.
    light += draw_grain(dice) * (light + 700) // 2600 + 120
    picture = np.clip(light >> 4, 0, 255)
    write_text(picture, "SYNTHETIC", left=5, top=5, value=_TEXT_GRAY)
    write_text(picture, f"{phantom.view} L", left=SIZE - 20, top=5, value=_TEXT_GRAY)
    return encode_gray_png(picture.astype(np.uint8))


def _iter_subject(subject: str) -> Iterator[Phantom]:
    dice = Dice(subject)
    share = dice.roll("sex", 1, 100)
    sex = "F" if share <= 47 else "M" if share <= 94 else "O" if share <= 97 else ""
    # Two rolls, summed: most are of middle age, and all between 18 and 90, birthdays included.
    age = 18 + dice.roll("age", 0, 41) + dice.roll("age 2", 0, 30)
    count = 2 + (dice.roll("images", 0, 99) * 3 + 100) // 142
    birthday = dice.roll("birthday", 2, 9)
    for number in range(1, count + 1):
        name = f"{subject}-{number:02}"
        view = "AP" if Dice(subject, name).roll("view", 1, 10) <= 3 else "PA"
        yield Phantom(
            file_name=f"{subject}/{name}.png",
            subject_id=subject,
            sex=sex,
            age_years=age + (number >= birthday),
            labels=_choose_labels(Dice(subject, name)),
            view=view,
            width=SIZE,
            height=SIZE,
        )


def _choose_labels(dice: Dice) -> tuple[str, ...]:
    share = dice.roll("findings", 1, 100)
    count = sum(share <= limit for limit in _AT_LEAST)
    left, chosen = dict(_WEIGHTS), set[str]()
    for turn in range(count):
        finding = _choose_weighted(left, dice.roll(f"finding {turn}", 1, sum(left.values())))
        chosen.add(finding)
        del left[finding]
    return tuple(sorted(chosen)) or (NO_FINDING,)


def _choose_weighted(weights: dict[str, int], roll: int) -> str:
    """The name in whose share of the weights `roll`, from 1 to their sum, falls."""
    for name, weight in weights.items():
        roll -= weight
        if roll <= 0:
            return name
    raise ValueError("The roll is larger than the sum of the weights.")


def _build_anatomy(phantom: Phantom, dice: Dice) -> Anatomy:
    """The subject's build, as it lay for this picture."""
    subject = Dice(phantom.subject_id)
    is_female = phantom.sex == "F" or (phantom.sex != "M" and subject.roll("build", 0, 1) == 0)
    is_ap = phantom.view == "AP"
    chest = subject.roll("chest", 92, 99) if is_female else subject.roll("chest", 97, 106)
    base = subject.roll("diaphragm", 750, 800) + dice.roll("breath", -14, 14) - 22 * is_ap
    raised = choose_side(dice, ATELECTASIS) if ATELECTASIS in phantom.labels else 0
    large = CARDIOMEGALY in phantom.labels
    return Anatomy(
        middle=520 + dice.roll("middle", -14, 14),
        tilt=dice.roll("tilt", -22, 22),
        chest=chest,
        body=(chest + subject.roll("body", 99, 106)) // 2,
        dome=(base - 85 * (raised < 0), base + 26 - 85 * (raised > 0)),
        heart=(142 if large else 92) + subject.roll("heart", 0, 10) + 5 * is_ap,
        # Bones lose lime with age.
        bone=subject.roll("bone", 400, 480) - phantom.age_years * 2 - 30 * is_female,
        breast=subject.roll("breast", 170, 330) if is_female else 0,
        rib_start=subject.roll("ribs", 20, 90) + dice.roll("breath", -14, 14) // 3,
        is_ap=is_ap,
    )
