"""The mean shape of faces, and whether it is the mirror image of itself. Points are complex numbers x + iy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float

ROUNDS = 4
ERRORS = 3
"""Standard errors within which the mean shape of so many faces may be off by chance."""


class Shape(NamedTuple):
    """The mean of faces that differ in place, size and turn."""

    mean: Complex[np.ndarray, " k"]  # upright as the photos on average; NaN for a point that is never visible
    aligned: Complex[np.ndarray, "n k"]  # each face laid over the mean

    @property
    def extent(self) -> float:
        """The longer side of the mean's box."""
        seen = self.mean[np.isfinite(self.mean)]
        return float(max(np.ptp(seen.real), np.ptp(seen.imag))) if len(seen) else 0.0


class Symmetry(NamedTuple):
    """How far each point of the mean shape lies from its mirrored partner, in parts of the extent."""

    mirrored: Complex[np.ndarray, " k"]  # the mirror image, laid over the mean
    residual: Float[np.ndarray, " k"]
    sure: Float[np.ndarray, " k"]  # what of it is beyond chance


def mean_shape(keypoints: Float[np.ndarray, "n k 2"]) -> Shape:
    """Generalised Procrustes analysis by similarities, over the visible points.

    Args:
        keypoints: in pixels; NaN where not visible. Faces without two different points count for nothing.
    """
    faces = keypoints[..., 0] + 1j * keypoints[..., 1]
    if not len(faces):
        return Shape(np.full(faces.shape[1], np.nan + 0j), faces)
    faces = _unit(faces)
    mean = faces[np.isfinite(faces).sum(1).argmax()]
    for _ in range(ROUNDS):
        aligned, factor = align(faces, mean)
        turn = np.exp(-1j * np.angle(factor[np.isfinite(factor)])).sum()
        mean = _unit(_mean(aligned)[None] * (turn / abs(turn) if abs(turn) > 1e-9 else 1))[0]
    return Shape(mean, align(faces, mean)[0])


def align(
    faces: Complex[np.ndarray, "n k"], target: Complex[np.ndarray, " k"]
) -> tuple[Complex[np.ndarray, "n k"], Complex[np.ndarray, " n"]]:
    """Lays each face over the target by the best similarity. Returns them, and the turn and scale of each."""
    both = np.isfinite(faces) & np.isfinite(target)
    number = np.maximum(both.sum(1, keepdims=True), 1)
    z, goal = np.where(both, faces, 0), np.where(both, target, 0)
    z_mean, goal_mean = z.sum(1, keepdims=True) / number, goal.sum(1, keepdims=True) / number
    z, goal = np.where(both, z - z_mean, 0), np.where(both, goal - goal_mean, 0)
    power = (np.abs(z) ** 2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where(power > 1e-12, (z.conj() * goal).sum(1) / power, np.nan)
    return factor[:, None] * (faces - z_mean) + goal_mean, factor


def symmetry(shape: Shape, flip: Sequence[int]) -> Symmetry:
    """Compares the mean with its mirror image, laid over it by the best similarity.

    Args:
        shape: the mean and the faces.
        flip: the permutation of points that belongs to a mirrored face.
    """
    order = list(flip)
    mirrored = -shape.mean[order].conj()
    (laid,), (factor,) = align(mirrored[None], shape.mean)
    seen = np.isfinite(laid)
    move = laid[seen][0] - (factor * mirrored)[seen][0] if seen.any() else 0j
    off = shape.aligned - (factor * -shape.aligned[:, order].conj() + move)
    number = np.isfinite(off).sum(0)
    mean = _mean(off)
    spread = np.sqrt(_mean(np.abs(off - mean) ** 2 + 0j).real / np.maximum(number - 1, 1))
    extent = shape.extent or 1.0
    residual = np.abs(mean) / extent
    return Symmetry(laid, residual, np.maximum(residual - ERRORS * spread / extent, 0))


def deviations(shape: Shape) -> Float[np.ndarray, " n"]:
    """How far each face's points lie from the mean shape: root mean square in parts of the extent."""
    square = np.abs(shape.aligned - shape.mean) ** 2
    number = np.isfinite(square).sum(1)
    return np.sqrt(np.nansum(square, 1) / np.maximum(number, 1)) / (shape.extent or 1.0)


def _unit(faces: Complex[np.ndarray, "n k"]) -> Complex[np.ndarray, "n k"]:
    """Moves each face to the origin and scales it to a root mean square of 1."""
    seen = np.isfinite(faces)
    number = np.maximum(seen.sum(1, keepdims=True), 1)
    faces = faces - np.where(seen, faces, 0).sum(1, keepdims=True) / number
    size = np.sqrt((np.abs(np.where(seen, faces, 0)) ** 2).sum(1, keepdims=True) / number)
    with np.errstate(invalid="ignore"):
        return faces / np.where(size > 0, size, np.nan)


def _mean(values: Complex[np.ndarray, "n k"]) -> Complex[np.ndarray, " k"]:
    """Over the faces that have the point; NaN where none has it."""
    seen = np.isfinite(values)
    number = seen.sum(0)
    return np.where(number > 0, np.where(seen, values, 0).sum(0) / np.maximum(number, 1), np.nan)
