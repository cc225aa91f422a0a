"""From a photo to a square face crop: one similarity, half-pixels and anti-aliasing included."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from keyposs.types import Matrix, Photo


def crop_matrix(box: Float[np.ndarray, " 4"], *, size: int, padding: float) -> Matrix:
    """The similarity that takes photo pixels to the pixels of a crop.

    Args:
        box: x0, y0, x1, y1 in photo pixels.
        size: side of the crop in pixels.
        padding: side of the cropped square over the longer side of the box.

    >>> crop_matrix(np.array([0.0, 0.0, 100.0, 50.0]), size=125, padding=1.25)
    array([[ 1.,  0., 12.],
           [ 0.,  1., 37.]])
    """
    side = padding * float(np.max(box[2:] - box[:2]))
    return similarity(size / side, 0.0, (box[:2] + box[2:]) / 2, np.full(2, (size - 1) / 2))


def similarity(scale: float, angle: float, source: Float[np.ndarray, "2"], target: Float[np.ndarray, "2"]) -> Matrix:
    """The matrix that scales and turns about `source`, and takes it to `target`.

    Args:
        scale: length in the target over length in the source.
        angle: radians, from x towards y.
        source: a point.
        target: where it comes to lie.

    >>> similarity(2.0, np.pi / 2, np.array([1.0, 1.0]), np.array([5.0, 5.0])).round(3)
    array([[ 0., -2.,  7.],
           [ 2.,  0.,  3.]])
    """
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cos, 0 - sin], [sin, cos]])  # no minus zero
    return np.column_stack([linear, target - linear @ source])


def canonical_size(image_size: int) -> int:
    """Side of the canonical crop: `image_size` with a quarter more on each side, for augmentation to draw on.

    >>> canonical_size(256)
    384
    """
    return image_size + 2 * (image_size // 4)


def canonical_matrix(box: Float[np.ndarray, " 4"], *, image_size: int, padding: float) -> Matrix:
    """The similarity to the canonical crop; the crop of `image_size` and `padding` is its exact centre.

    >>> canonical_matrix(np.array([0.0, 0.0, 100.0, 50.0]), image_size=125, padding=1.25)
    array([[ 1.,  0., 43.],
           [ 0.,  1., 68.]])
    """
    size = canonical_size(image_size)
    return crop_matrix(box, size=size, padding=padding * size / image_size)


def apply(matrix: Matrix, points: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
    """Maps points through an affine matrix."""
    moved: np.ndarray = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """The matrix of `outer` after `inner`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], apply(outer, inner[:, 2])])


def invert(matrix: Matrix) -> Matrix:
    """The matrix that undoes `matrix`.

    >>> m = crop_matrix(np.array([3.0, 4.0, 90.0, 70.0]), size=64, padding=1.25)
    >>> np.allclose(compose(m, invert(m)), np.eye(2, 3))
    True
    """
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def warp(photo: Photo, matrix: Matrix, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Resamples a photo into a crop of `size` pixels; outside the photo it is black.

    Where the crop is smaller than half the photo's scale, whole blocks of pixels are averaged first, so that
    a large photo does not alias.
    """
    shrink = int(min(1 / np.sqrt(abs(np.linalg.det(matrix[:, :2]))), max(photo.shape[:2])))
    if shrink >= 2:
        photo, matrix = _average(photo, matrix, size, shrink)
    return cv2.warpAffine(photo, matrix, (size, size), flags=cv2.INTER_LINEAR)


def _average(
    photo: Photo, matrix: Matrix, size: int, shrink: int
) -> tuple[UInt8[np.ndarray, "rows columns 3"], Matrix]:
    """The part of the photo that the crop sees, averaged over blocks of shrink x shrink, and its matrix."""
    corners = apply(invert(matrix), np.array([[-1.0, -1], [size, -1], [-1, size], [size, size]]))
    limit = np.array(photo.shape[1::-1])
    x0, y0 = np.clip(np.floor(corners.min(0)).astype(int) - shrink, 0, limit - 1)
    w, h = np.clip(np.ceil(corners.max(0)).astype(int) + shrink, 1, limit) - (x0, y0)
    w, h = max(int(w), 1), max(int(h), 1)
    columns, rows = -(-w // shrink), -(-h // shrink)
    part = cv2.copyMakeBorder(
        photo[y0 : y0 + h, x0 : x0 + w], 0, rows * shrink - h, 0, columns * shrink - w, cv2.BORDER_REPLICATE
    )
    part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    half = (shrink - 1) / 2
    to_photo = np.array([[shrink, 0, x0 + half], [0, shrink, y0 + half]], dtype=float)
    return part, compose(matrix, to_photo)
