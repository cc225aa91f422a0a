"""Eyes, brows, nose and mouth, painted along the curves through their landmarks."""

import numpy as np
from jaxtyping import Float

from keyposs.data.rendering.look import CLOTH, Look
from keyposs.data.rendering.paint import Canvas, colour, ellipse, fill, inside, shade, stroke
from keyposs.data.rendering.scene import Scene
from keyposs.data.rendering.shape import smooth
from keyposs.data.rendering.skin import light_on

Curve = Float[np.ndarray, "_ 2"]


def curve(knots: Float[np.ndarray, "k 2"], count: int = 24) -> Curve:
    """An open smooth line through knots."""
    return smooth(knots, np.linspace(0, len(knots) - 1 - 1e-9, count))


def eye_lids(points: Float[np.ndarray, "6 2"]) -> tuple[Curve, Curve]:
    """The upper and the lower lid, both from the first corner to the second."""
    return curve(points[[0, 1, 2, 3]]), curve(points[[0, 5, 4, 3]])


def lip_lines(points: Float[np.ndarray, "20 2"]) -> tuple[Curve, Curve, Curve, Curve]:
    """Outer upper, inner upper, inner lower and outer lower edge of the lips, all from corner to corner."""
    rows = ([0, 1, 2, 3, 4, 5, 6], [12, 13, 14, 15, 16], [12, 19, 18, 17, 16], [0, 11, 10, 9, 8, 7, 6])
    upper, inner_upper, inner_lower, lower = (curve(points[row], 40) for row in rows)
    return upper, inner_upper, inner_lower, lower


def paint_features(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    """Paints all that has landmarks of its own, on skin that is there already."""
    _nose(canvas, scene, look)
    _folds(canvas, scene, look)
    _mouth(canvas, scene, look)
    for side in (0, 1):
        _eye(canvas, scene, look, side)
        _brow(canvas, scene, look, side, rng)


def _light(scene: Scene, look: Look, toward: tuple[float, float, float]) -> Float[np.ndarray, " 3"]:
    normal = scene.turn @ np.array(toward)
    return light_on(look, normal / np.linalg.norm(normal))


def _eye(canvas: Canvas, scene: Scene, look: Look, side: int) -> None:
    points = scene.keypoints[36 + 6 * side : 42 + 6 * side]
    upper, lower = eye_lids(points)
    outline = np.vstack([upper, lower[-2:0:-1]])
    unit, up = scene.scale, scene.turn[:2, 1] * -scene.scale
    light = _light(scene, look, ((0.35, -0.35)[1 - side], 0, 1))
    dark = look.skin * 0.16 * light
    shade(canvas, [outline], np.array([0.72, 0.62, 0.60]), blur=0.045 * unit)
    gap = float(np.linalg.norm(points[1:3].mean(0) - points[4:6].mean(0))) / unit
    crease = upper + up * (0.030 + 0.25 * gap)
    stroke(canvas, [crease[2:-1]], look.skin * 0.30 * light, 0.02 * unit, 0.5, 0.012 * unit)
    if look.make_up > 0.4:
        shade(canvas, [np.vstack([crease, upper[::-1]])], np.array([0.72, 0.6, 0.66]), blur=0.02 * unit)
    inside(canvas, [outline], lambda c: _eyeball(c, scene, look, points, light))
    heavy = 0.022 + 0.014 * look.make_up
    stroke(canvas, [lower], dark * 2.2, 0.012 * unit, 0.55, 0.004 * unit)
    stroke(canvas, [upper], dark * 0.5, heavy * unit, 0.92, 0.003 * unit)
    outer = -1 if side == 0 else 1
    tip = points[0 if side == 0 else 3]
    wing = np.array([tip, tip + (scene.turn[:2, 0] * outer * 0.03 - scene.turn[:2, 1] * 0.008) * unit])
    stroke(canvas, [wing], dark, 0.016 * unit, 0.6, 0.004 * unit)


def _eyeball(canvas: Canvas, scene: Scene, look: Look, points: Float[np.ndarray, "6 2"], light: np.ndarray) -> None:
    unit, corners = scene.scale, points[[0, 3]]
    centre = iris_centre(scene, look, points)
    white = colour(232, 222, 214) * light * 0.92
    fill(canvas, [ellipse(corners.mean(0), 0.25 * unit, 0.25 * unit)], white)
    for corner in corners:
        shade(
            canvas,
            [ellipse(corner, 0.07 * unit, 0.07 * unit)],
            np.array([0.75, 0.58, 0.55]),
            blur=0.03 * unit,
        )
    radius, squeeze = 0.066 * unit, abs(np.cos(scene.yaw))

    def disc(size: float) -> np.ndarray:
        return ellipse(centre, radius * size * squeeze, radius * size, scene.roll)

    fill(canvas, [disc(1.04)], look.iris * 0.25 * light, blur=0.006 * unit)
    fill(canvas, [disc(0.84)], look.iris * 0.9 * light, blur=0.008 * unit)
    glow = centre - look.light[:2] * radius * 0.5
    fill(canvas, [ellipse(glow, radius * 0.5, radius * 0.42)], look.iris * 1.7 * light, 0.6, 0.015 * unit)
    fill(canvas, [disc(0.45)], colour(12, 10, 10), blur=0.004 * unit)
    upper, _ = eye_lids(points)
    shade(canvas, [upper], np.array([0.35, 0.33, 0.33]), 0.022 * unit, 0.06 * unit)
    spark = centre + look.light[:2] * radius * 0.45 + [0, -0.12 * radius]
    fill(canvas, [ellipse(spark, 0.24 * radius, 0.24 * radius)], look.lamp * 1.1, 0.9)


def iris_centre(scene: Scene, look: Look, points: Float[np.ndarray, "6 2"]) -> Float[np.ndarray, " 2"]:
    """Where the eye looks: between its corners, a little up, moved by the gaze."""
    across = (points[3] - points[0]) / 2
    lift = -scene.turn[:2, 1] * scene.scale * 0.012
    return points[[0, 3]].mean(0) + lift + across * np.clip(look.gaze[0], -0.5, 0.5) * 0.7


def _brow(canvas: Canvas, scene: Scene, look: Look, side: int, rng: np.random.Generator) -> None:
    knots = scene.keypoints[17 + 5 * side : 22 + 5 * side]
    if side == 1:
        knots = knots[::-1]
    line = curve(knots, 30)  # from the tail to the nose
    unit, up = scene.scale, -scene.turn[:2, 1] * scene.scale
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    thick = 0.032 * look.brow_weight * np.interp(np.linspace(0, 1, 30), [0, 0.35, 0.85, 1], [0.25, 0.9, 1.25, 1.0])
    body = np.vstack([line + up * thick[:, None], (line - up * thick[:, None])[::-1]])
    light = _light(scene, look, (0, -0.3, 1))
    ink = (look.hair if look.style not in CLOTH else colour(40, 30, 26)) * 0.55 * light
    ink = np.minimum(ink, look.skin * 0.42 * light)
    fill(canvas, [body], ink, 0.6, 0.014 * unit)
    at = rng.integers(0, 30, 80)
    start = line[at] + up * (thick[at] * rng.uniform(-1, 0.5, 80))[:, None]
    lean = -along[at] * 0.6 + up / unit * np.interp(at, [0, 29], [0.1, 0.9])[:, None]
    hairs = np.stack([start, start + lean * unit * 0.05 * rng.uniform(0.7, 1.2, (80, 1))], axis=1)
    stroke(canvas, list(hairs), ink * 0.7, 0.007 * unit, 0.45)


def _nose(canvas: Canvas, scene: Scene, look: Look) -> None:
    k, unit = scene.keypoints, scene.scale
    up, right = -scene.turn[:2, 1] * unit, scene.turn[:2, 0] * unit
    base = curve(k[31:36])
    shade(canvas, [base - up * 0.015], np.array([0.66, 0.56, 0.54]), 0.018 * unit, 0.03 * unit)
    for wing, inner, sign in ((31, 32, -1), (35, 34, 1)):
        hole = 0.35 * k[wing] + 0.65 * k[inner] + up * 0.028
        wide = 0.5 * float(np.linalg.norm(k[wing] - k[inner])) + 0.008 * unit
        fill(
            canvas,
            [ellipse(hole, wide, 0.021 * unit, scene.roll - sign * 0.25)],
            look.skin * 0.05,
            0.85,
            0.009 * unit,
        )
        side = np.array(
            [
                k[wing],
                k[wing] + right * sign * 0.022 + up * 0.045,
                k[wing] + right * sign * 0.008 + up * 0.115,
            ]
        )
        shade(canvas, [curve(side)], np.array([0.62, 0.50, 0.48]), 0.010 * unit, 0.018 * unit)


def _folds(canvas: Canvas, scene: Scene, look: Look) -> None:
    """From the nostrils to beside the mouth, deeper with age and smile."""
    k, unit = scene.keypoints, scene.scale
    depth = 0.10 + 0.22 * look.age + 0.22 * max(scene.head.expression.smile, 0)
    for wing, corner, sign in ((31, 48, -1), (35, 54, 1)):
        out = scene.turn[:2, 0] * sign * unit
        line = curve(np.array([k[wing] + out * 0.05, (k[wing] + k[corner]) / 2 + out * 0.10, k[corner] + out * 0.07]))
        shade(canvas, [line], 1 - depth * np.array([0.8, 1, 1]), 0.016 * unit, 0.025 * unit)
        shade(
            canvas,
            [ellipse(k[corner] + out * 0.012, 0.02 * unit, 0.02 * unit)],
            np.array([0.7, 0.6, 0.6]),
            0.012 * unit,
        )


def _mouth(canvas: Canvas, scene: Scene, look: Look) -> None:
    unit = scene.scale
    upper, inner_upper, inner_lower, lower = lip_lines(scene.keypoints[48:68])
    light = _light(scene, look, (0, 0, 1))
    edge = 0.006 * unit
    shade(canvas, [np.vstack([upper, inner_upper[::-1]])], look.lips * 0.80, edge)
    shade(canvas, [np.vstack([inner_lower, lower[::-1]])], look.lips * 0.98, edge)
    middle = (inner_lower + lower)[8:-8] / 2
    glow = np.minimum(look.lamp * (0.18 + 0.25 * look.make_up), 1)
    stroke(canvas, [middle], glow + look.skin * 0.5 * light, 0.02 * unit, 0.22, 0.016 * unit)
    opening = np.vstack([inner_upper, inner_lower[::-1]])
    inside(canvas, [opening], lambda c: _teeth(c, scene, light, inner_upper, inner_lower), 0.003 * unit)
    stroke(canvas, [inner_upper], look.skin * look.lips * 0.10 * light, 0.014 * unit, 0.7, 0.006 * unit)


def _teeth(canvas: Canvas, scene: Scene, light: np.ndarray, upper: Curve, lower: Curve) -> None:
    unit = scene.scale
    down = scene.turn[:2, 1] * unit
    fill(canvas, [np.vstack([upper - down * 0.1, (lower + down * 0.1)[::-1]])], colour(52, 18, 18) * light)
    tongue = lower[6:-6] + down * 0.02
    fill(
        canvas,
        [np.vstack([tongue, (tongue - down * 0.09)[::-1]])],
        colour(150, 72, 70) * light,
        0.6,
        0.02 * unit,
    )
    row = upper[3:-3]
    height = 0.085 * np.sin(np.linspace(0.35, np.pi - 0.35, len(row)))[:, None]
    teeth = np.vstack([row - down * 0.02, (row + down * height)[::-1]])
    fill(canvas, [teeth], colour(226, 216, 200) * light * 0.85, 1, 0.006 * unit)
    gaps = [np.array([row[i], row[i] + down * height[i]]) for i in range(2, len(row), 4)]
    stroke(canvas, gaps, colour(120, 100, 90) * light, 0.006 * unit, 0.35)
    for i, line in ((0, upper), (1, upper)):
        shade(canvas, [line], np.array([0.6, 0.55, 0.55]), 0.02 * unit, (0.03, 0.015)[i] * unit)
