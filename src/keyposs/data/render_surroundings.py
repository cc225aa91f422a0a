"""What lies around and before a face: background, body, ears, long hair, glasses and what hides a part of it."""

import cv2
import numpy as np
from jaxtyping import Float

from keyposs.data.render_hair import LONG
from keyposs.data.render_look import Look
from keyposs.data.render_paint import Canvas, colour, ellipse, fill, shade, stroke
from keyposs.data.render_scene import Scene
from keyposs.data.render_shape import smooth
from keyposs.data.render_skin import light_on


def paint_back(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    """Background, hair behind the neck, body and ears."""
    _background(canvas, rng)
    if look.style in LONG:
        _curtain(canvas, scene, look, rng)
    if look.style == "bun":
        bun = scene.project(np.array([[0.0, -1.62, -1.0]]))[0, :2]
        fill(canvas, [ellipse(bun, 0.36 * scene.scale, 0.3 * scene.scale)], look.hair * look.ambient * 1.5)
    _body(canvas, scene, look, rng)
    if look.style not in LONG:
        for side in (-1, 1):
            _ear(canvas, scene, look, side)


def paint_front(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    """Glasses, and whatever hides a part of the face."""
    if look.glasses:
        _glasses(canvas, scene, look)
    if scene.cover:
        _COVER_PAINTS[scene.cover](canvas, scene, look, rng)


def _seen(scene: Scene, points: object) -> Float[np.ndarray, "n 2"]:
    return scene.project(np.array(points, dtype=float))[:, :2]


def _closed(knots: Float[np.ndarray, "n 2"], count: int = 60) -> Float[np.ndarray, "m 2"]:
    return smooth(np.vstack([knots, knots[:1]]), np.linspace(0, len(knots) - 1e-6, count))


def _background(canvas: Canvas, rng: np.random.Generator) -> None:
    h, w = canvas.shape[:2]
    base, other = rng.uniform(0.02, 0.75, 2)[:, None] * rng.uniform(0.7, 1.3, (2, 3))
    slope = np.linspace(0, 1, 8)[:, None, None]
    rough = base + (other - base) * (slope if rng.random() < 0.5 else slope.transpose(1, 0, 2))
    rough = rough * np.exp(rng.normal(0, 0.25, (8, 8, 1))) * np.exp(rng.normal(0, 0.06, (8, 8, 3)))
    canvas[:] = cv2.resize(rough.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    np.clip(canvas, 0.005, 1, out=canvas)
    for _ in range(rng.integers(0, 9)):
        paint, middle, size = (
            rng.uniform(0, 0.8, 3) * rng.uniform(0.2, 1),
            rng.uniform(0, w, 2),
            rng.uniform(10, 90, 2),
        )
        turn = rng.uniform(0, np.pi)
        shape = ellipse(middle, *size, turn, 32 if rng.random() < 0.6 else 4)
        fill(canvas, [shape], paint, rng.uniform(0.3, 1), rng.choice([1.0, 4.0, 10.0]))


def _curtain(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    """Long hair or cloth that falls behind the shoulders."""
    half = [(-0.60, -1.2), (-0.98, -0.5), (-1.04, 0.3), (-1.12, 1.1), (-1.0, 2.3)]
    rim = [(x, y, -1.0) for x, y in half] + [(-x, y, -1.0) for x, y in half[::-1]]
    light = look.ambient + 0.25 * look.lamp
    fill(canvas, [_closed(_seen(scene, rim))], look.hair * light)
    if look.style != "veil":
        x = rng.uniform(-1.05, 1.05, 90)
        ends = np.stack([np.stack([x, np.full(90, y), np.full(90, -1.0)], 1) for y in (-0.3, 0.9, 2.3)], 1)
        lines = list(scene.project(ends)[..., :2])
        stroke(canvas, lines[:45], look.hair * light * 0.5, 0.012 * scene.scale, 0.6, 0.5)
        stroke(canvas, lines[45:], look.hair * light * 1.9, 0.012 * scene.scale, 0.4, 0.5)


def _body(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    k, unit = scene.keypoints, scene.scale
    nape = _seen(scene, [(0, 0.75, -0.85)])[0]
    lean = np.array([-np.sin(scene.roll), np.cos(scene.roll)]) * 0.4 + [0, 0.6]
    side = np.array([1.0, 0.0])
    light = look.ambient * 0.9 + 0.42 * look.lamp
    throat = nape + lean * unit * 1.05
    wide = (0.50 + 0.03 * scene.head.person.width) * unit
    neck = [nape - side * wide, throat - side * wide * 1.05, throat + side * wide * 1.05, nape + side * wide]
    below = [
        throat + np.array([x, y]) * unit for x, y in ((-0.52, 0.0), (-0.3, 0.42), (0.3, 0.42), (0.52, 0.0))
    ]
    fill(canvas, [np.array(neck), np.array(below)], look.skin * light)
    lit = np.sign(look.light[0])
    edge = nape - side * lit * wide
    shade(
        canvas,
        [np.array([edge, edge + lean * unit * 1.3])],
        np.array([0.45, 0.40, 0.40]),
        0.14 * unit,
        0.3 * unit,
    )
    jaw = k[2:15] + np.array([-0.10 * look.light[0], 0.20 + 0.1 * max(-look.light[1], 0)]) * unit
    shade(canvas, [np.vstack([jaw, nape[None] - [0, unit]])], np.array([0.40, 0.33, 0.32]), 0.10 * unit)
    collar = [(-0.50, -0.02), (-0.28, 0.30), (0, 0.42), (0.28, 0.30), (0.50, -0.02)]
    shoulder = [
        (0.9, 0.22),
        (1.6, 0.42),
        (2.0, 1.0),
        (2.1, 3),
        (-2.1, 3),
        (-2.0, 1.0),
        (-1.6, 0.42),
        (-0.9, 0.22),
    ]
    cloth = np.array([throat + np.array(p) * unit for p in [*collar, *shoulder]])
    fill(canvas, [cloth], look.cloth * light)
    for x in rng.uniform(-1.6, 1.6, 5):
        fold = throat + np.array([[x, 0.35], [x * 1.15, 1.6]]) * unit
        shade(canvas, [fold], np.array([0.75, 0.75, 0.75]), 0.08 * unit, 0.1 * unit)
    stroke(
        canvas,
        [smooth(cloth[:5], np.linspace(0, 4 - 1e-9, 30))],
        look.cloth * light * 0.5,
        0.05 * unit,
        0.7,
        1.0,
    )


def _ear(canvas: Canvas, scene: Scene, look: Look, side: int) -> None:
    wide = scene.head.rows[6, 0]
    rim = [
        (0.0, 0.42, -0.68),
        (0.06, 0.30, -0.78),
        (0.13, 0.02, -0.92),
        (0.13, -0.14, -0.92),
        (0.05, -0.18, -0.80),
    ]
    rim += [(-0.04, -0.02, -0.68), (-0.05, 0.30, -0.62)]
    shape = _closed(_seen(scene, [(side * (wide + x), y, z) for x, y, z in rim]), 40)
    normal = scene.turn @ np.array([side * 0.6, 0, 0.8])
    light = light_on(look, normal) * 0.9
    fill(canvas, [shape], look.skin * light * np.array([1.0, 0.86, 0.84]))
    middle = shape.mean(0)
    shade(canvas, [middle + 0.55 * (shape - middle)], np.array([0.55, 0.42, 0.40]), 0.03 * scene.scale)


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
        rims.append(_seen(scene, np.stack([across, eye_y + 0.05 + 0.205 * y, z], 1)))
    for rim in rims:
        if look.glasses == "dark":
            fill(canvas, [rim], colour(26, 24, 28), 0.93)
            shade(canvas, [rim[24:40]], np.array([1.8, 1.8, 1.9]), 0.04 * unit)
        else:
            shade(canvas, [rim + [0, 0.03 * unit]], np.array([0.85, 0.85, 0.85]), 0.012 * unit, 0.03 * unit)
    bridge = _seen(
        scene, [(-0.115, eye_y - 0.01, 0.17), (0, eye_y - 0.04, 0.20), (0.115, eye_y - 0.01, 0.17)]
    )
    stroke(canvas, [*rims, bridge], frame, 0.035 * unit)
    temples = [
        _seen(scene, [(s * 0.62, eye_y - 0.03, -0.01), (s * 0.88, eye_y - 0.03, -0.72)]) for s in (-1, 1)
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
    for shape in scene.cover_contours:
        shade(canvas, [shape + [0.03 * unit, 0.05 * unit]], np.array([0.55, 0.48, 0.46]), 0.04 * unit)
        fill(canvas, [shape], look.skin * light * 0.72)
        middle = shape.mean(0)
        fill(
            canvas,
            [middle + 0.6 * (shape - middle) + look.light[:2] * 0.02 * unit],
            look.skin * light,
            0.9,
            0.035 * unit,
        )


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
