"""The body of a phantom: where its organs lie, and how a healthy one is drawn.

The measures are chosen to look right and are nobody's. As in a radiograph the picture's left is the
person's right. Sides are -1 (picture's left) and +1.
"""

from dataclasses import dataclass

import numpy as np

from catalog.demo.phantoms.drawing import (
    FULL,
    SIZE,
    UNITS,
    Dice,
    Ints,
    X,
    Y,
    blur,
    measure_ellipse,
    scatter_grain,
    soften,
    trace_curve,
)

SIDES = (-1, 1)
HILUM = (100, 440)  # beside the midline, below the top: where vessels enter the lung
_RIB_PERIOD = 80
_SPINE_PERIOD = 58

# (height, half width) from the top of the picture down.
_BODY = (
    (0, 100), (60, 104), (95, 130), (130, 240), (165, 355), (215, 440), (300, 474), (400, 462),
    (520, 432), (700, 424), (1039, 436),
)  # fmt: skip
# A lung's border, away from the midline, at the middle of the range of chests.
_OUTER = (
    (95, 60), (125, 110), (160, 178), (220, 248), (320, 302), (450, 336), (600, 358), (750, 370),
    (900, 372),
)  # fmt: skip
_INNER = ((100, 88), (200, 58), (300, 60), (450, 74), (650, 82), (900, 88))
# How far the diaphragm lies below its highest point: (from the midline, below).
_DOME = ((0, 48), (90, 26), (190, 0), (270, 16), (330, 58), (375, 120), (420, 200))
_CLAVICLE = ((0, 232), (40, 222), (140, 186), (240, 184), (360, 164))


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One picture's measures in units; `bone` and `breast` are in sixteenths of a grey level."""

    middle: int
    tilt: int  # sideways in the height of the picture
    chest: int  # width, in percent
    body: int  # width, in percent
    dome: tuple[int, int]  # the height of the diaphragm at either side
    heart: int  # width, in percent
    bone: int
    breast: int
    rib_start: int
    is_ap: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """The fields and covers that organs and findings share; arrays have the shape (SIZE, SIZE)."""

    anatomy: Anatomy
    across: Ints  # from the midline, in units
    lung_fields: dict[int, Ints]  # by side
    above_dome: dict[int, Ints]
    lungs: dict[int, Ints]  # covers by side
    middle: Ints  # the cover of heart and great vessels
    aired: dict[int, Ints]  # the lungs without what the heart hides
    outer: Ints  # the lungs' outer border, by row

    def from_side(self, side: int) -> Ints:
        """The distance from the midline towards `side`, negative beyond."""
        return self.across * side


def lay_out(anatomy: Anatomy) -> Scene:
    """Compute what everything else is placed by."""
    across = X - anatomy.middle - (Y - 520) * anatomy.tilt // 1040
    outer = trace_curve(_OUTER, Y) * anatomy.chest // 100
    above, fields = {}, {}
    for side, height in zip(SIDES, anatomy.dome, strict=True):
        away = across * side
        above[side] = trace_curve(_DOME, away * 100 // anatomy.chest) + height - Y
        inside = np.minimum(away - trace_curve(_INNER, Y), outer - away)
        fields[side] = np.minimum(inside, above[side])
    lungs = {side: soften(field, 11) for side, field in fields.items()}
    middle = _shape_middle(across, anatomy.heart)
    aired = {side: lung * (FULL - middle) >> 8 for side, lung in lungs.items()}
    return Scene(anatomy, across, fields, above, lungs, middle, aired, outer)


def draw_body(scene: Scene, texture: dict[int, Ints]) -> Ints:
    """The healthy picture in sixteenths of a gray; `texture` covers what ribs and vessels mark."""
    anatomy = scene.anatomy
    apart = abs(scene.across)
    wall = trace_curve(_BODY, Y) * anatomy.body // 100 - apart
    body = soften(wall, 16)
    light = (body * 1500 + soften(wall - 110, 130) * 560) >> 8
    lung = scene.lungs[-1] + scene.lungs[1]
    shown = texture[-1] * scene.aired[-1] + texture[1] * scene.aired[1] >> 8
    light -= lung * 1390 >> 8
    light += _shade_abdomen(scene, body) + _shade_breasts(scene)
    light += _draw_ribs(scene) * (FULL - lung + 2 * shown) >> 9
    light += _draw_shoulders(scene) * body >> 8
    light += _draw_middle(scene)
    return light


def _shade_abdomen(scene: Scene, body: Ints) -> Ints:
    share = soften(scene.across, 60)  # of either side: they meet smoothly before the spine
    below = -(scene.above_dome[1] * share + scene.above_dome[-1] * (FULL - share)) >> 8
    height = scene.anatomy.dome[1]
    bubble = soften(measure_ellipse(scene.across - 175, Y - height - 75, 62, 34), 14)
    return (soften(below - 10, 34) * body * 420 >> 16) - (bubble * 620 >> 8)


def _shade_breasts(scene: Scene) -> Ints:
    apart = abs(scene.across)
    breast = measure_ellipse(apart - 235, Y - 640, 175, 165)
    # Round below, fading upwards: that is how they show on an upright film.
    return soften(breast, 22) * soften(Y - 620, 150) * scene.anatomy.breast >> 16


def _draw_ribs(scene: Scene) -> Ints:
    """Posterior ribs, sloping down to the side, and fainter anterior ones, down to the middle."""
    apart = abs(scene.across)
    back = Y - scene.anatomy.rib_start + apart // 4 - apart * apart // 640
    front = Y - scene.anatomy.rib_start - 40 + apart * 2 // 3
    cage = soften(scene.outer + 16 - apart, 14) * soften(Y - 130, 40) >> 8
    cage = cage * soften(840 - Y, 60) >> 8
    anterior = _stripe(front, 15) * soften(apart - 150, 60) * soften(Y - 300, 60) >> 16
    strength = _stripe(back, 17) + anterior * 45 // 100
    return cage * strength * scene.anatomy.bone >> 16


def _stripe(along: Ints, half_width: int) -> Ints:
    """Bands that repeat down the chest, a little denser at their edges, like a hollow bone."""
    off = abs(along % _RIB_PERIOD - _RIB_PERIOD // 2)
    return soften(half_width - off, 6) - (soften(half_width - 8 - off, 6) * 80 >> 8)


def _draw_shoulders(scene: Scene) -> Ints:
    apart, bone = abs(scene.across), scene.anatomy.bone
    lift = 14 if scene.anatomy.is_ap else 0
    line = trace_curve(_CLAVICLE, apart) - lift
    clavicle = soften(14 - abs(Y - line), 7) * soften(apart - 38, 14) * soften(352 - apart, 14)
    head = soften(measure_ellipse(apart - 432, Y - 232, 46, 58), 16)
    reach = 292 if scene.anatomy.is_ap else 326  # shoulder blades move over the lungs in AP films
    edge = abs(apart - reach - (Y - 240) // 9)
    blade = soften(9 - edge, 9) * soften(Y - 250, 30) * soften(480 - Y, 50) >> 16
    # Four factors go beyond 32 bits.
    collar = (clavicle.astype(np.int64) * bone * 3 >> 25).astype(np.int32)
    return collar + (head * bone >> 8) + (blade * bone * 2 // 3 >> 8)


def _shape_middle(across: Ints, scale: int) -> Ints:
    """The cover of heart, aorta and the spine's column; `scale` widens the heart, in percent."""
    ventricle = measure_ellipse(
        across - 50 * scale // 100 - (Y - 620) // 3, Y - 655, 142 * scale // 100, 150
    )
    atrium = measure_ellipse(across + 26 * scale // 100, Y - 640, 92 * scale // 100, 148)
    trunk = np.maximum(
        measure_ellipse(across - 52, Y - 318, 46, 52),
        measure_ellipse(across - 44, Y - 430, 54, 96),
    )
    shadow = soften(np.maximum(np.maximum(ventricle, atrium), trunk), 11)
    column = soften(64 - abs(across), 26) * soften(Y - 150, 90) >> 8
    return np.maximum(shadow * soften(900 - Y, 60) >> 8, column)


def _draw_middle(scene: Scene) -> Ints:
    """Heart, great vessels and spine, with the dark windpipe over them."""
    lung = scene.lungs[-1] + scene.lungs[1]
    # Over the lungs the heart takes the place of air; elsewhere it adds little to what is there.
    light = scene.middle * (lung * 1180 + FULL * 330) >> 16
    windpipe = soften(17 - abs(scene.across), 11) * soften(390 - Y, 40) >> 8
    return light + _draw_spine(scene) - (windpipe * 420 >> 8)


def _draw_spine(scene: Scene) -> Ints:
    off = abs(scene.across)
    disc = soften(8 - abs((Y + 11) % _SPINE_PERIOD - _SPINE_PERIOD // 2), 7)
    edge = soften(6 - abs(off - 40), 6)
    column = soften(40 - off, 8) * (FULL - disc * 3 // 4) + edge * FULL // 2
    return column * scene.anatomy.bone * 5 >> 19


def draw_vessels(scene: Scene, dice: Dice) -> Ints:
    """The branching vessels of both lungs and the dense roots they spring from."""
    marks = np.zeros((SIZE, SIZE), np.int32)
    for side in SIDES:
        for branch in range(11):
            _scratch_branch(marks, scene, dice, side, branch)
    fine = blur(marks, 1)
    roots = np.zeros((SIZE, SIZE), np.int32)
    for side in SIDES:
        away = scene.from_side(side) - HILUM[0]
        roots += soften(measure_ellipse(away, Y - HILUM[1] - 12 * side, 42, 74), 40)
    return np.minimum(fine + (blur(fine, 2) >> 1), 640) + (roots * 330 >> 8)


def _scratch_branch(marks: Ints, scene: Scene, dice: Dice, side: int, branch: int) -> None:
    """Walk from the root of the lung outwards, leaving ever fainter dots."""
    length = dice.roll(f"vessel {side} {branch} length", 26, 50)
    bends = np.frombuffer(dice.bytes(f"vessel {side} {branch}", 2 * length), np.uint8)
    wobble = np.cumsum(bends.astype(np.int32).reshape(2, length) - 128, axis=1) >> 5
    steps = np.arange(length, dtype=np.int32)
    rise = branch * 2 - 10 + dice.roll(f"vessel {side} {branch} rise", -1, 1)
    away = HILUM[0] + steps * (12 - abs(rise)) // 2 + wobble[0]
    rows = (HILUM[1] + steps * rise // 2 + steps * steps * rise // 160 + wobble[1]) // UNITS
    columns = (scene.anatomy.middle + side * away) // UNITS
    strength = 2100 - steps * 1500 // length
    seen = (rows >= 0) & (rows < SIZE) & (columns >= 0) & (columns < SIZE)
    np.add.at(marks, (rows[seen], columns[seen]), strength[seen])


def draw_grain(dice: Dice) -> Ints:
    """Fine grain over soft mottling, in sixteenths of a gray."""
    grain = scatter_grain(dice, "grain")
    mottle = blur(blur(blur(scatter_grain(dice, "mottle"), 2) * 16, 3), 4) >> 1
    return grain * 9 // 16 + blur(grain * 2, 1) + mottle
