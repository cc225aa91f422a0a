"""A curved surface on the canvas: its finer samples, its normals, its visible points from back to front."""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, Int32

from keyposs.data.rendering.paint import Canvas

_FINE = 3  # samples along a mesh's cell, so that they lie about a pixel apart


def finer(field: np.ndarray) -> np.ndarray:
    """A field over the mesh, sampled between its vertices."""
    size = (field.shape[1] * _FINE, field.shape[0] * _FINE)
    return cv2.resize(np.asarray(field, np.float32), size, interpolation=cv2.INTER_LINEAR)


def noise(rng: np.random.Generator, vertices: tuple[int, int], rows: int, columns: int) -> np.ndarray:
    """Smooth noise of about unit deviation over the finer samples, from rows x columns random numbers."""
    size = (vertices[1] * _FINE, vertices[0] * _FINE)
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)


def surface_normals(seen: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Unit normals of a surface in the photo's frame, outwards."""
    down, across = np.gradient(seen, axis=0), np.gradient(seen, axis=1)
    normal = np.stack(
        [across[..., i - 2] * down[..., i - 1] - across[..., i - 1] * down[..., i - 2] for i in range(3)], -1
    )
    return normal / (np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9)


def splat(
    canvas: Canvas,
    seen: Float[np.ndarray, "rows columns 3"],
    normals: Float[np.ndarray, "rows columns 3"],
    paint: Float[np.ndarray, "_ _ 3"],
) -> None:
    """Drops the surface's samples on the canvas, the far ones first, and closes the pores between them."""
    h, w = canvas.shape[:2]
    spots = (finer(seen[..., :2]) + np.float32(0.5)).reshape(-1, 2)
    facing = np.flatnonzero(normals[..., 2].ravel() > -0.02)
    order = facing[np.argsort(seen[..., 2].ravel()[facing])]
    samples = _samples(*seen.shape[:2])[order].ravel()
    x, y = spots[samples].T
    met = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    nearest = np.full((h, w), -1, np.int32)
    nearest[y[met].astype(np.int32), x[met].astype(np.int32)] = samples[met]  # the last one, the nearest, stays
    rows, columns = (slice(max(s.min() - 4, 0), s.max() + 5) for s in np.nonzero(nearest >= 0))
    _cover(canvas[rows, columns], nearest[rows, columns], paint.reshape(-1, 3))


def _cover(
    canvas: Float[np.ndarray, "h w 3"], nearest: Int32[np.ndarray, "h w"], paint: Float[np.ndarray, "n 3"]
) -> None:
    """Gives each pixel the paint of its nearest sample (-1: none), with pores closed and edges softened."""
    met = nearest >= 0
    layer = np.zeros((*nearest.shape, 4), np.float32)
    layer[met, :3] = paint[nearest[met]]
    layer[..., 3] = met
    solid = cv2.morphologyEx(met.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5)))
    cover = cv2.GaussianBlur(solid.astype(np.float32), (5, 5), 0.7)[..., None]
    soft = cv2.GaussianBlur(layer, (7, 7), 0.9)
    canvas += cover * (soft[..., :3] / np.maximum(soft[..., 3:], np.float32(1e-6)) - canvas)


@lru_cache(maxsize=2)
def _samples(rows: int, columns: int) -> np.ndarray:
    """The finer samples that belong to each vertex."""
    index = np.arange(rows * columns * _FINE**2, dtype=np.int32).reshape(rows, _FINE, columns, _FINE)
    return index.transpose(0, 2, 1, 3).reshape(rows * columns, _FINE**2)
