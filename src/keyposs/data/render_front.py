"""What is worn on a face or held before it: glasses, masks, scarves, hands and phones."""

import numpy as np

from keyposs.data.render_look import Look
from keyposs.data.render_paint import Canvas, colour, ellipse, fill, inside, shade, stroke
from keyposs.data.render_scene import Scene
from keyposs.data.render_shape import smooth
from keyposs.data.render_skin import light_on


def paint_front(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    """Glasses, and whatever hides a part of the face."""
    if look.glasses:
        _glasses(canvas, scene, look)
    if scene.cover:
        _COVER_PAINTS[scene.cover](canvas, scene, look, rng)


def _flat(scene: Scene, points: object) -> np.ndarray:
    return scene.project(np.array(points, dtype=float))[:, :2]


def _glasses(canvas: Canvas, scene: Scene, look: Look) -> None:
    unit, rest = scene.scale, scene.head.rest
    t = np.linspace(0, 2 * np.pi, 48)
    power = 1.0 if look.glasses == "round" else 0.55
    x, y = (np.sign(f) * np.abs(f) ** power for f in (np.cos(t), np.sin(t)))
    eye_y = rest[36:48, 1].mean()
    frame = look.cloth * 0.25 if look.glasses != "dark" else colour(20, 20, 22)
    rims = []
    for side in (-1, 1):
        across = side * 0.365 + 0.255 * x
        z = 0.17 - 0.45 * np.abs(across) ** 2
        rims.append(_flat(scene, np.stack([across, eye_y + 0.05 + 0.205 * y, z], 1)))
    for rim in rims:
        if look.glasses == "dark":
            fill(canvas, [rim], colour(26, 24, 28), 0.93)
            shade(canvas, [rim[24:40]], np.array([1.8, 1.8, 1.9]), 0.04 * unit)
        else:
            shade(
                canvas,
                [rim + np.array([0, 0.03]) * unit],
                np.array([0.85, 0.85, 0.85]),
                0.012 * unit,
                0.03 * unit,
            )
    bridge = _flat(
        scene, [(-0.115, eye_y - 0.01, 0.17), (0, eye_y - 0.04, 0.20), (0.115, eye_y - 0.01, 0.17)]
    )
    stroke(canvas, [*rims, bridge], frame, 0.035 * unit)
    temples = [
        _flat(scene, [(s * 0.62, eye_y - 0.03, -0.01), (s * 0.88, eye_y - 0.03, -0.72)]) for s in (-1, 1)
    ]
    near = [line for line, s in zip(temples, (-1, 1), strict=True) if s * scene.yaw < 0.12]
    stroke(canvas, near, frame, 0.035 * unit)


def _cloth_cover(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    """A medical mask or a scarf: one piece with folds and straps."""
    k, unit = scene.keypoints, scene.scale
    (shape,) = scene.cover_contours
    light = light_on(look, scene.turn @ np.array([0, 0.2, 0.98]))
    tints = (
        ((170, 205, 225), (235, 235, 232), (40, 42, 48))
        if scene.cover == "mask"
        else ((120, 50, 50), (60, 70, 110))
    )
    paint = colour(*tints[rng.integers(len(tints))]) * light
    if scene.cover == "mask":
        straps = [
            np.array([k[a], b]) for a, b in ((2, k[1] * 1.1 - k[30] * 0.1), (14, k[15] * 1.1 - k[30] * 0.1))
        ]
        stroke(canvas, straps, paint, 0.03 * unit)
    fill(canvas, [shape], paint)
    lit = look.light[:2] * unit * 0.35
    middle = k[51]
    shade(
        canvas,
        [ellipse(middle - lit * 1.6, 0.6 * unit, 0.8 * unit)],
        np.array([0.72, 0.72, 0.75]),
        0.2 * unit,
    )
    shade(canvas, [ellipse(middle + lit, 0.3 * unit, 0.4 * unit)], np.array([1.2, 1.2, 1.2]), 0.18 * unit)
    for t in (0.25, 0.5, 0.75):
        line = np.array([k[3] * (1 - t) + k[6] * t, k[33] * (1 - t) + k[8] * t, k[13] * (1 - t) + k[10] * t])
        fold = smooth(line, np.linspace(0.1, 1.9, 30))
        shade(canvas, [fold], np.array([0.78, 0.78, 0.8]), 0.02 * unit, 0.02 * unit)


def _hand_cover(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    unit, light = scene.scale, look.ambient + look.lamp * 0.6
    palm, *fingers = scene.cover_contours
    shade(
        canvas,
        [finger + np.array([0.03, 0.05]) * unit for finger in fingers],
        np.array([0.6, 0.52, 0.5]),
        0.05 * unit,
    )
    for shape in (*fingers, palm):
        rim = np.vstack([shape, shape[:1]])

        def flesh(canvas: Canvas, shape: np.ndarray = shape, rim: np.ndarray = rim) -> None:
            fill(canvas, [shape], look.skin * light * 0.95)
            shade(
                canvas,
                [rim - look.light[:2] * 0.03 * unit],
                np.array([0.55, 0.45, 0.42]),
                0.025 * unit,
                0.07 * unit,
            )

        inside(canvas, [shape], flesh)
    for finger in fingers:
        tip = finger[:14].mean(0)
        root = finger[14:].mean(0)
        for part in (0.35, 0.62):
            knuckle = root + part * (tip - root)
            across = np.array([[-1.0, 0.0], [1.0, 0.0]]) * 0.045 * unit
            shade(canvas, [knuckle + across], np.array([0.75, 0.68, 0.66]), 0.008 * unit, 0.012 * unit)


def _phone_cover(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    (shape,) = scene.cover_contours
    middle, tone = shape.mean(0), rng.uniform(0.01, 0.12)
    fill(canvas, [shape], np.full(3, tone) * rng.uniform(0.8, 1.2, 3))
    fill(canvas, [middle + 0.92 * (shape - middle)], np.full(3, tone * 1.5) * rng.uniform(0.8, 1.2, 3))
    fill(
        canvas,
        [ellipse(middle + 0.72 * (shape[0] - middle), 0.06 * scene.scale, 0.06 * scene.scale)],
        colour(8, 8, 10),
    )


_COVER_PAINTS = {"mask": _cloth_cover, "scarf": _cloth_cover, "hand": _hand_cover, "phone": _phone_cover}
