"""What ails a phantom: each finding changes the picture in one plain, learnable way."""

from dataclasses import dataclass

import numpy as np

from catalog.demo.phantoms.anatomy import HILUM, SIDES, Scene
from catalog.demo.phantoms.drawing import (
    FULL,
    SIZE,
    Dice,
    Ints,
    Y,
    blur,
    measure_ellipse,
    scatter_grain,
    soften,
)

ATELECTASIS, CARDIOMEGALY, CONSOLIDATION = "atelectasis", "cardiomegaly", "consolidation"
NODULE, EFFUSION, PNEUMOTHORAX = "nodule", "pleural-effusion", "pneumothorax"
FINDINGS = (ATELECTASIS, CARDIOMEGALY, CONSOLIDATION, NODULE, EFFUSION, PNEUMOTHORAX)


@dataclass(frozen=True, slots=True)
class Change:
    """`light` is added, in sixteenths of a gray; `texture` covers where lung markings stay."""

    light: Ints
    texture: dict[int, Ints]


def choose_side(dice: Dice, finding: str) -> int:
    """The side of a finding: -1 is the picture's left."""
    return SIDES[dice.roll(f"{finding} side", 0, 1)]


def draw_findings(scene: Scene, labels: tuple[str, ...], dice: Dice) -> Change:
    """All that `labels` change, apart from what moves the organs themselves."""
    change = Change(
        np.zeros((SIZE, SIZE), np.int32),
        {side: np.full((SIZE, SIZE), FULL, np.int32) for side in SIDES},
    )
    drawers = {
        ATELECTASIS: _add_atelectasis,
        CONSOLIDATION: _add_consolidation,
        NODULE: _add_nodule,
        EFFUSION: _add_effusion,
        PNEUMOTHORAX: _add_pneumothorax,
    }
    for label in FINDINGS:
        if label in labels and label in drawers:
            drawers[label](scene, change, choose_side(dice, label), dice)
    return change


def _brighten(change: Change, light: Ints) -> None:
    """Where two findings lie over each other the denser one shows; they do not add up to white."""
    np.maximum(change.light, light, out=change.light)


def _add_nodule(scene: Scene, change: Change, side: int, dice: Dice) -> None:
    """A bright disc with a soft rim, clear of heart and diaphragm."""
    radius = dice.roll("nodule radius", 24, 38)
    height = dice.roll("nodule height", 270, 620)
    start = 150 if side < 0 or height < 480 else 235
    end = 215 if height < 330 else 290
    away = dice.roll("nodule place", start, end) * scene.anatomy.chest // 100
    disc = measure_ellipse(scene.from_side(side) - away, Y - height, radius, radius)
    _brighten(change, soften(disc, 7) * scene.aired[side] * 1150 >> 16)


def _add_effusion(scene: Scene, change: Change, side: int, dice: Dice) -> None:
    """Fluid up to a level that climbs along the chest wall."""
    level = dice.roll("effusion level", 560, 680)
    away = scene.from_side(side)
    to_wall = np.clip(scene.outer - away, 0, 190)
    climb = (190 - to_wall) ** 3 // 47000  # up to some 145 units where fluid meets the wall
    fluid = soften(Y - level + climb, 15) * scene.aired[side] >> 8
    _brighten(change, fluid * 1270 >> 8)
    change.texture[side][:] = change.texture[side] * (FULL - fluid * 7 // 8) >> 8


def _add_pneumothorax(scene: Scene, change: Change, side: int, dice: Dice) -> None:
    """Air around the top and side of a lung that drew back: darker, unmarked, with a thin rim."""
    depth = dice.roll("pneumothorax depth", 62, 95)
    reach = dice.roll("pneumothorax reach", 560, 700)
    # The gap is widest at the apex and closes towards `reach`.
    gap = depth * np.clip(reach - Y, 0, 450) // 450
    top = Y - 122 - depth
    drawn = np.minimum(scene.outer - scene.from_side(side) - gap, top + 60 * (gap == 0))
    inside = scene.lungs[side]
    air = (FULL - soften(drawn, 5)) * soften(gap - 8, 8) * inside >> 16
    rim = soften(5 - abs(drawn), 4) * soften(gap - 10, 8) * inside >> 16
    change.light[:] += (rim * 560 >> 8) - (air * 470 >> 8)
    change.texture[side][:] = change.texture[side] * (FULL - air) >> 8


def _add_consolidation(scene: Scene, change: Change, side: int, dice: Dice) -> None:
    """A cloud without an edge."""
    width = dice.roll("consolidation width", 85, 120)
    height = dice.roll("consolidation height", 80, 115)
    row = dice.roll("consolidation row", 360, 620)
    away = dice.roll("consolidation place", 190, 240) + (25 if side > 0 and row > 500 else 0)
    cloud = measure_ellipse(scene.from_side(side) - away, Y - row, width, height)
    ragged = blur(blur(scatter_grain(dice, "consolidation") * 16, 2), 2) >> 3
    cover = soften(cloud + ragged - 6, 42) * (FULL - np.clip(ragged, -50, 50)) >> 8
    _brighten(change, cover * scene.aired[side] * 1040 >> 16)
    change.texture[side][:] = change.texture[side] * (FULL - np.minimum(cover, 220)) >> 8


def _add_atelectasis(scene: Scene, change: Change, side: int, dice: Dice) -> None:
    """A dense wedge from the root of the lung to its base; the diaphragm is raised elsewhere."""
    slope = dice.roll("atelectasis slope", 40, 62)
    away = scene.from_side(side) - HILUM[0]
    line = HILUM[1] + 60 + away * slope // 100
    thick = 20 + np.clip(away, 0, 300) // 9
    wedge = soften(thick - abs(Y - line), 10) * soften(away + 10, 20) >> 8
    _brighten(change, wedge * scene.aired[side] * 1080 >> 16)
