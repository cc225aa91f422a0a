"""What lies behind a person: studio walls, rooms, lights out of focus, foliage, patterns."""

import cv2
import numpy as np
from jaxtyping import Float

from keyposs.data.rendering.paint import Canvas, ellipse, fill, stroke


def paint_background(canvas: Canvas, rng: np.random.Generator) -> None:
    """Covers the canvas with one of the backgrounds; painted at half size, since it is out of focus."""
    small = np.empty((canvas.shape[0] // 2, canvas.shape[1] // 2, 3), np.float32)
    _PAINTS[rng.choice(len(_PAINTS), p=_ODDS)](small, rng)
    small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.5, 3.0))
    canvas[:] = cv2.resize(small, canvas.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    np.clip(canvas, 0.003, 1, out=canvas)


def _tint(rng: np.random.Generator, brightest: float = 0.7) -> Float[np.ndarray, " 3"]:
    """A muted colour, now and then a strong one."""
    spread = rng.choice([0.08, 0.25, 0.7], p=[0.5, 0.35, 0.15])
    return np.clip(rng.uniform(0.01, brightest) * np.exp(rng.normal(0, spread, 3)), 0.003, 1)


def _clouds(canvas: Canvas, rng: np.random.Generator, cells: int, strength: float) -> None:
    noise = rng.standard_normal((cells, cells), dtype=np.float32)
    canvas *= np.exp(strength * cv2.resize(noise, canvas.shape[1::-1], interpolation=cv2.INTER_CUBIC))[..., None]


def _studio(canvas: Canvas, rng: np.random.Generator) -> None:
    h, w = canvas.shape[:2]
    x, y = np.meshgrid(np.linspace(-1, 1, w), np.linspace(-1, 1, h))
    middle = rng.uniform(-0.6, 0.6, 2)
    far = np.hypot(x - middle[0], y - middle[1])[..., None]
    canvas[:] = _tint(rng) * np.exp(-rng.uniform(0.2, 1.2) * far**2)
    _clouds(canvas, rng, 5, 0.08)


def _room(canvas: Canvas, rng: np.random.Generator) -> None:
    """A wall with things on and before it, all upright."""
    h, w = canvas.shape[:2]
    canvas[:] = _tint(rng)
    _clouds(canvas, rng, 4, 0.15)
    for _ in range(rng.integers(2, 9)):
        x, y, half_w, half_h = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(5, 45), rng.uniform(5, 70)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [half_w, half_h] + [x, y]
        fill(canvas, [corners], _tint(rng, 0.95), rng.uniform(0.5, 1))
    for _ in range(rng.integers(0, 4)):
        x = rng.uniform(0, w)
        stroke(canvas, [np.array([[x, 0], [x, h]])], _tint(rng), rng.uniform(1, 8), 0.7)


def _lights(canvas: Canvas, rng: np.random.Generator) -> None:
    """Lamps out of focus, at night."""
    canvas[:] = _tint(rng, 0.1)
    _clouds(canvas, rng, 6, 0.5)
    lamp = _tint(rng, 1.0) + 0.15
    for _ in range(rng.integers(10, 34)):
        size = rng.uniform(3, 15)
        paint = np.clip(lamp * np.exp(rng.normal(0, 0.4, 3)), 0, 1)
        fill(
            canvas,
            [ellipse(rng.uniform(0, canvas.shape[1], 2), size, size, 0, 20)],
            paint,
            rng.uniform(0.2, 0.9),
        )


def _foliage(canvas: Canvas, rng: np.random.Generator) -> None:
    h, w = canvas.shape[:2]
    sky, leaf = (
        np.array([0.55, 0.7, 0.9]) * rng.uniform(0.5, 1.1),
        np.array([0.07, 0.14, 0.03]) * rng.uniform(0.4, 2.5),
    )
    level = sum(
        cv2.resize(rng.standard_normal((n, n), dtype=np.float32), (w, h), interpolation=cv2.INTER_CUBIC) * s
        for n, s in ((4, 1.0), (12, 0.7), (40, 0.5))
    )
    slope = np.linspace(1.2, -1.6, h)[:, None]
    share = 1 / (1 + np.exp(-4 * (level + slope + rng.normal(0, 0.5))))[..., None]
    canvas[:] = leaf + share * (sky - leaf)
    _clouds(canvas, rng, 30, 0.35)


def _pattern(canvas: Canvas, rng: np.random.Generator) -> None:
    """Stripes, bricks or planks at some angle."""
    h, w = canvas.shape[:2]
    angle, period = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]), rng.uniform(8, 40)
    x, y = np.meshgrid(np.arange(w), np.arange(h))
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    row = np.floor(across / period).astype(int)
    seam = np.minimum(across / period % 1, ((along / (2.2 * period) + 0.5 * (row % 2)) % 1) * 2.2) < 0.1
    canvas[:] = _tint(rng)
    canvas *= np.exp(0.18 * rng.standard_normal(400)[row % 400])[..., None]
    canvas[seam] *= rng.uniform(0.3, 1.3)
    _clouds(canvas, rng, 20, 0.12)


_PAINTS = (_studio, _room, _lights, _foliage, _pattern)
_ODDS = (0.26, 0.30, 0.12, 0.17, 0.15)
