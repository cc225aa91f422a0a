"""What a head rests on and is framed by: neck, clothes, ears and hair that falls to the shoulders."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from keyposs.data.rendering.look import CLOTH, LONG, Look
from keyposs.data.rendering.paint import Canvas, ellipse, fill, inside, shade, stroke
from keyposs.data.rendering.scene import Scene
from keyposs.data.rendering.shape import smooth
from keyposs.data.rendering.skin import light_on


def paint_body(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    """All that lies behind the head: long hair, neck, clothes and both ears."""
    if look.style in LONG:
        _curtain(canvas, scene, look, rng, _BEHIND, -1.0)
    if look.style == "bun":
        bun = _seen(scene, [(0.0, -1.62, -1.0)])[0]
        fill(canvas, [ellipse(bun, 0.36 * scene.scale, 0.3 * scene.scale)], look.hair * look.ambient * 1.5)
    _neck(canvas, scene, look)
    _clothes(canvas, scene, look, rng)
    if look.style in LONG:
        for side in (-1, 1):
            lock = [(side * x, y) for x, y in _LOCK]
            _curtain(canvas, scene, look, rng, lock, -0.75)
    else:
        for side in (-1, 1):
            _ear(canvas, scene, look, side)


def paint_near_ear(canvas: Canvas, scene: Scene, look: Look) -> None:
    """The ear that a turned head shows before its side."""
    if look.style not in LONG and abs(scene.yaw) > 0.1:
        _ear(canvas, scene, look, -int(np.sign(scene.yaw)))


_BEHIND = [(-0.60, -1.2), (-0.98, -0.5), (-1.0, 0.3), (-1.08, 1.1), (-0.95, 2.6)]
_BEHIND += [(-x, y) for x, y in _BEHIND[::-1]]
_SHOULDERS = [(0.95, 0.12), (1.5, 0.30), (1.85, 0.75), (2.1, 3)]
_SHOULDERS += [(-x, y) for x, y in _SHOULDERS[::-1]]
_LOCK = [(0.78, 0.3), (0.98, 0.3), (1.08, 1.1), (0.98, 1.9), (0.78, 2.1), (0.62, 1.6), (0.66, 1.0)]


def _seen(scene: Scene, points: object) -> Float[np.ndarray, "n 2"]:
    return scene.project(np.array(points, dtype=float))[:, :2]


def _closed(knots: Float[np.ndarray, "n 2"], count: int = 60) -> Float[np.ndarray, "m 2"]:
    return smooth(np.vstack([knots, knots[:1]]), np.linspace(0, len(knots) - 1e-6, count))


def _curtain(
    canvas: Canvas,
    scene: Scene,
    look: Look,
    rng: np.random.Generator,
    rim: Sequence[tuple[float, float]],
    depth: float,
) -> None:
    """Long hair or cloth that hangs at some depth within a rim."""
    outline = _closed(_seen(scene, [(x, y, depth) for x, y in rim]))
    light = look.ambient + 0.3 * look.lamp
    shade(canvas, [outline], np.array([0.6, 0.58, 0.58]), 0.05 * scene.scale)
    inside(canvas, [outline], lambda c: _hang(c, scene, look, rng, rim, depth, light))


def _hang(
    canvas: Canvas,
    scene: Scene,
    look: Look,
    rng: np.random.Generator,
    rim: Sequence[tuple[float, float]],
    depth: float,
    light: Float[np.ndarray, " 3"],
) -> None:
    (low, top), (high, bottom) = np.min(rim, axis=0), np.max(rim, axis=0)
    corners = [
        (low - 0.2, top - 0.2),
        (high + 0.2, top - 0.2),
        (high + 0.2, bottom + 0.2),
        (low - 0.2, bottom + 0.2),
    ]
    fill(canvas, [_seen(scene, [(x, y, depth) for x, y in corners])], look.hair * light)
    count = int(46 * (high - low))
    x = rng.uniform(low, high, (count, 1))
    y = np.linspace(top, bottom, 6)
    wave = 0.03 * np.sin(3.5 * y + rng.uniform(0, 6) + 2 * x)
    lines = scene.project(np.stack([x + wave, np.tile(y, (count, 1)), np.full((count, 6), depth)], -1))[..., :2]
    contrast = 0.25 if look.style in CLOTH else 1.0
    width = (0.05 if look.style in CLOTH else 0.016) * scene.scale
    for part, tone in ((lines[::2], 0.45), (lines[1::2], 2.0)):
        stroke(canvas, list(part), look.hair * light * (1 + contrast * (tone - 1)), width, 0.5, 0.5)


def _frame(scene: Scene) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """The nape, the pit of the throat, and the direction between them: the neck follows half of the roll."""
    nape = _seen(scene, [(0, 0.75, -0.85)])[0]
    lean = np.array([-np.sin(scene.roll), np.cos(scene.roll)]) * 0.4 + [0, 0.6]
    return nape, nape + lean * scene.scale * 1.05, lean


def _body_light(look: Look) -> Float[np.ndarray, " 3"]:
    return look.ambient * 0.9 + 0.42 * look.lamp


def _neck(canvas: Canvas, scene: Scene, look: Look) -> None:
    unit, (nape, throat, lean) = scene.scale, _frame(scene)
    wide = np.array([0.50 + 0.03 * scene.head.person.width, 0]) * unit
    neck = [
        nape - wide,
        throat - wide * 1.02,
        throat - wide * 1.1,
        throat + wide * 1.1,
        throat + wide * 1.02,
        nape + wide,
    ]
    below = [throat + np.array([x, y]) * unit for x, y in ((-0.52, 0), (-0.3, 0.75), (0.3, 0.75), (0.52, 0))]
    fill(canvas, [np.array(neck), np.array(below)], look.skin * _body_light(look))
    for side in (-1, 1):
        edge = nape + side * wide
        dark = np.array([0.42, 0.36, 0.35]) if side * look.light[0] < 0 else np.array([0.75, 0.7, 0.7])
        shade(canvas, [np.array([edge, edge + lean * unit * 1.1])], dark, 0.13 * unit, 0.28 * unit)
        bone = np.array([throat + np.array([side * 0.08, 0.12]) * unit, throat + np.array([side * 0.6, -0.02]) * unit])
        shade(canvas, [bone], np.array([0.78, 0.72, 0.7]), 0.03 * unit, 0.04 * unit)
    fall = np.array([-0.10 * look.light[0], 0.20 + 0.1 * max(-look.light[1], 0)]) * unit
    jaw = scene.keypoints[2:15] + fall
    shade(canvas, [np.vstack([jaw, nape[None] - [0, unit]])], np.array([0.40, 0.33, 0.32]), 0.09 * unit)


def _clothes(canvas: Canvas, scene: Scene, look: Look, rng: np.random.Generator) -> None:
    unit, (_, throat, _) = scene.scale, _frame(scene)
    deep, wide = rng.choice([0.08, 0.22, 0.42, 0.7]), rng.uniform(0.48, 0.62)
    bend = 0.8 * deep * rng.uniform(0.6, 1)
    collar = np.array([(-wide, -0.05), (-0.55 * wide, bend), (0, deep), (0.55 * wide, bend), (wide, -0.05)])
    neckline = smooth(collar, np.linspace(0, 4 - 1e-9, 30))
    shoulders = smooth(np.array(_SHOULDERS), np.linspace(0, len(_SHOULDERS) - 1 - 1e-9, 40))
    cloth = throat + np.vstack([neckline, shoulders]) * unit
    inside(canvas, [cloth], lambda c: _weave(c, cloth, throat, unit, look, rng))
    stroke(canvas, [throat + neckline * unit], look.cloth * _body_light(look) * 0.55, 0.05 * unit, 0.7, 1.0)


def _weave(
    canvas: Canvas,
    cloth: Float[np.ndarray, "_ 2"],
    throat: Float[np.ndarray, " 2"],
    unit: float,
    look: Look,
    rng: np.random.Generator,
) -> None:
    """Cloth, plain or striped, with folds, and dark on the side away from the lamp."""
    light = _body_light(look)
    fill(canvas, [cloth], look.cloth * light)
    if rng.random() < 0.25:
        at = np.arange(-0.2, 2.2, rng.uniform(0.12, 0.3))
        stripes = [throat + np.array([[-2.2, y + 0.15], [0, y], [2.2, y + 0.15]]) * unit for y in at]
        stroke(canvas, stripes, look.iris * light * 4, 0.06 * unit, 0.8)
    for x in rng.uniform(-1.6, 1.6, 6):
        fold = throat + np.array([[x, 0.25], [x * 1.15, 1.6]]) * unit
        shade(canvas, [fold], np.full(3, rng.choice([0.7, 1.2])), 0.07 * unit, 0.09 * unit)
    away = throat - np.sign(look.light[0]) * np.array([1.7 * unit, -unit])
    shade(canvas, [ellipse(away, 1.1 * unit, 1.6 * unit)], np.full(3, 0.55), 0.3 * unit)


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
