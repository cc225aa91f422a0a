"""Synthetic photos of faces: a head in three dimensions, painted and then seen through a camera."""

from collections.abc import Sequence

import cv2
import numpy as np

from keyposs.data.rendering.background import paint_background
from keyposs.data.rendering.body import paint_body, paint_near_ear
from keyposs.data.rendering.features import paint_features
from keyposs.data.rendering.front import paint_front
from keyposs.data.rendering.look import draw_look
from keyposs.data.rendering.paint import Canvas
from keyposs.data.rendering.scene import SIZE, draw_scene, random_stream
from keyposs.data.rendering.skin import paint_head
from keyposs.types import Photo


def render_face(key: Sequence[int]) -> Photo:
    """Paints the photo that belongs to a key; `draw_scene(key)` holds its landmarks.

    Args:
        key: non-negative integers, such as (seed, split, index).

    Returns:
        RGB of SIZE x SIZE pixels.
    """
    rng = random_stream(key, 2)
    return expose(paint_face(key, rng), rng)


def paint_face(key: Sequence[int], rng: np.random.Generator) -> Canvas:
    """The scene in linear light, before the camera's blur and noise."""
    scene, look = draw_scene(key), draw_look(key)
    canvas = np.empty((SIZE, SIZE, 3), np.float32)
    paint_background(canvas, rng)
    paint_body(canvas, scene, look, rng)
    paint_head(canvas, scene, look, rng)
    paint_near_ear(canvas, scene, look)
    paint_features(canvas, scene, look, rng)
    paint_front(canvas, scene, look, rng)
    return canvas


def expose(canvas: Canvas, rng: np.random.Generator) -> Photo:
    """What a camera makes of the light: exposure, cast, blur, noise and the screen's gamma."""
    metered = float(canvas[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4].mean())
    gain = np.clip(0.26 / (metered + 1e-3), 0.4, 4) ** 0.5 * np.exp(rng.normal(0, 0.14) + rng.normal(0, 0.04, 3))
    photo = np.sqrt(np.clip(canvas * gain.astype(np.float32), 0, 1)) * 255
    blur = rng.choice([0.35, rng.uniform(0.4, 0.9), rng.uniform(0.9, 1.8)], p=[0.5, 0.38, 0.12])
    photo = cv2.GaussianBlur(photo, (0, 0), float(blur))
    strength = rng.choice([1.5, rng.uniform(2, 5), rng.uniform(5, 12)], p=[0.5, 0.38, 0.12])
    noise = rng.standard_normal((SIZE, SIZE, 1), dtype=np.float32)
    return np.clip(photo + np.float32(strength) * noise + 0.5, 0, 255).astype(np.uint8)
