"""What is worn on a face or held before it: glasses, masks, scarves, hands and phones."""

import numpy as np

from keyposs.data.rendering.look import Look
from keyposs.data.rendering.paint import Canvas, colour, ellipse, fill, inside, shade, stroke
from keyposs.data.rendering.scene import Scene
from keyposs.data.rendering.shape import smooth
from keyposs.data.rendering.skin import light_on

_MASKS = ((170, 205, 225), (235, 235, 232), (40, 42, 48))


def paint_front(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    """Glasses, and whatever hides a part of the face."""
    if look.glasses:
        _glasses(canvas, scene, look)
    if scene.cover:
        _COVER_PAINTS[scene.cover](canvas, scene, look, rng)


def _flat(scene: Scene, points: object) -> np.ndarray:
    return scene.project(np.array(points, dtype=float))[:, :2]


def _glasses(canvas: Canvas, scene: Scene, look: Look) -> None:
    unit, eye_y = scene.scale, scene.head.rest[36:48, 1].mean()
    dark = look.glasses == "dark"
    frame = colour(20, 20, 22) if dark else look.cloth * 0.25
    rims = [_rim(scene, look.glasses, side * 0.365, eye_y + 0.05) for side in (-1, 1)]
    for rim in rims:
        if dark:
            fill(canvas, [rim], colour(26, 24, 28), 0.93)
            shade(canvas, [rim[24:40]], np.array([1.8, 1.8, 1.9]), 0.04 * unit)
        else:
            below = rim + np.array([0, 0.03]) * unit
            shade(canvas, [below], np.full(3, 0.85), 0.012 * unit, 0.03 * unit)
    bridge = _flat(scene, [(x, eye_y - 0.04 + 2.3 * x * x, 0.20 - 2.3 * x * x) for x in (-0.115, 0, 0.115)])
    temples = [
        _flat(scene, [(side * 0.62, eye_y - 0.03, -0.01), (side * 0.88, eye_y - 0.03, -0.72)])
        for side in (-1, 1)
        if side * scene.yaw < 0.12  # the head hides the other one
    ]
    stroke(canvas, [*rims, bridge, *temples], frame, 0.035 * unit)


def _rim(scene: Scene, shape: str, x: float, y: float) -> np.ndarray:
    """The frame around one eye, on a plane that bends backwards at the sides."""
    t = np.linspace(0, 2 * np.pi, 48)
    power = 1.0 if shape == "round" else 0.55
    across, down = (np.sign(f) * np.abs(f) ** power for f in (np.cos(t), np.sin(t)))
    across = x + 0.255 * across
    return _flat(scene, np.stack([across, y + 0.205 * down, 0.17 - 0.45 * across**2], 1))


def _cloth_cover(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    """A medical mask with straps, or a scarf."""
    k, unit, mask = scene.keypoints, scene.scale, scene.cover == "mask"
    light = light_on(look, scene.turn @ np.array([0, 0.2, 0.98]))
    tint = colour(*_MASKS[rng.integers(len(_MASKS))]) if mask else look.cloth[::-1]
    if mask:
        straps = [np.array([k[rim], 1.1 * k[ear] - 0.1 * k[30]]) for rim, ear in ((2, 1), (14, 15))]
        stroke(canvas, straps, tint * light, 0.03 * unit)
    shadow = [contour + np.array([0, -0.02]) * unit for contour in scene.cover_contours]
    shade(canvas, shadow, np.full(3, 0.6), 0.03 * unit)
    inside(canvas, scene.cover_contours, lambda c: _drape(c, scene, look, tint * light, rng))


def _drape(canvas: Canvas, scene: Scene, look: Look, paint: np.ndarray, rng: np.random.Generator) -> None:
    """Cloth over nose, mouth or chin: light from the lamp's side, and folds across."""
    k, unit, mask = scene.keypoints, scene.scale, scene.cover == "mask"
    fill(canvas, scene.cover_contours, paint)
    lit = look.light[:2] * unit * 0.35
    shade(canvas, [ellipse(k[51] - 1.6 * lit, 0.6 * unit, 0.8 * unit)], np.full(3, 0.68), 0.2 * unit)
    shade(canvas, [ellipse(k[51] + lit, 0.3 * unit, 0.4 * unit)], np.full(3, 1.2), 0.18 * unit)
    for t in (0.25, 0.5, 0.75) if mask else np.linspace(0.3, 2.1, 8) + rng.normal(0, 0.05, 8):
        line = np.array([k[3] + t * (k[6] - k[3]), k[33] + t * (k[8] - k[33]), k[13] + t * (k[10] - k[13])])
        if not mask:
            line = line[1] + (line - line[1]) * [2, 1] + rng.normal(0, 0.04 * unit, (3, 2))
        fold = smooth(line, np.linspace(0, 2 - 1e-9, 30))
        thick = (0.02 if mask else 0.05) * unit
        shade(canvas, [fold], np.full(3, 0.78 if mask else 0.55), thick, thick)
        shade(canvas, [fold + np.array([0, 0.06]) * unit], np.full(3, 1.0 if mask else 1.3), thick, thick)


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
