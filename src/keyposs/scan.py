"""Finding faces without a detector: where a network is sure of its landmarks, there is a face.

A network with calibrated covariances says of any crop how uncertain its points are. On faces that is some 2 % of the
face's size; elsewhere it is more. So windows of all sizes are read, the best are read again in the box of their own
points, which draws them onto the face, and those that are sure in the end are kept.
"""

import numpy as np
from jaxtyping import Float

from keyposs.errors import KeyposError
from keyposs.networks import BATCH, Boxes, Network, Read, boxes_of, read_faces
from keyposs.types import Photo

SMALLEST, SHRINK, STEP = 0.1, 1.6, 0.4
"""Sides of windows: the smallest over the photo's shorter side, each over the next; and steps over a window's side."""

LEAST = 16
"""Pixels of the photo: smaller windows are not read."""

WORTH, CANDIDATES, ROUNDS = 0.07, 64, 2
"""Windows of less doubt than this whose landmarks are not alike, so many at most, are read again, so many times."""

SURE = 0.03
"""A face is less in doubt than this. On photos faces are at 0.017 to 0.026, and other things above 0.035."""

ALIKE, OVERLAP = 0.6, 0.3
"""Of two boxes that overlap by more than this (intersection over union) only the surer is read again; is a face."""


def doubt(read: Read) -> Float[np.ndarray, " n"]:
    """How unsure the points of each face are: their mean standard deviation over the longer side of their box.

    Raises:
        KeyposError: if the network tells no covariances.
    """
    if read.covariances is None:
        raise KeyposError("this network", "tells no covariances, and so finds no faces", "give boxes, or a detector")
    deviations = np.clip(np.linalg.det(read.covariances), 0, None) ** 0.25
    sides = np.ptp(read.points, axis=1).max(-1)
    return deviations.mean(-1) / np.maximum(sides, 1e-9)


def windows(width: int, height: int) -> Boxes:
    """Squares of all sizes, a step apart, that cover a photo; none where it is too narrow for a face.

    >>> windows(100, 100).shape, windows(100, 100)[0]
    ((213, 4), array([-0.5, -0.5, 79.5, 79.5]))
    """
    shorter = min(width, height)
    found, side = [np.empty((0, 4))], shorter / 1.25
    while side >= max(SMALLEST * shorter, LEAST):
        x, y = np.meshgrid(*(_centres(length, side) for length in (width, height)))
        centre = np.stack([x.ravel(), y.ravel()], 1) - 0.5
        found.append(np.concatenate([centre - side / 2, centre + side / 2], axis=1))
        side /= SHRINK
    return np.concatenate(found)


def _centres(length: int, side: float) -> Float[np.ndarray, " m"]:
    return np.linspace(side / 2, length - side / 2, int(np.ceil((length - side) / (STEP * side))) + 1)


def scan(network: Network, photo: Photo, batch_size: int = BATCH) -> Boxes:
    """The faces of a photo, as the boxes of their landmarks, the surest first.

    Raises:
        KeyposError: if the network tells no covariances.
    """
    (read,) = read_faces(network, [(photo, windows(photo.shape[1], photo.shape[0]))], batch_size)
    worth = doubt(read) < WORTH
    boxes, doubts = boxes_of(read.points[worth]), doubt(read)[worth]
    boxes = boxes[apart(boxes, doubts, ALIKE)[:CANDIDATES]]
    for _ in range(ROUNDS):
        (read,) = read_faces(network, [(photo, boxes)], batch_size)
        boxes = boxes_of(read.points)
    doubts = doubt(read)
    return boxes[[i for i in apart(boxes, doubts) if doubts[i] < SURE]]


def apart(boxes: Boxes, doubts: Float[np.ndarray, " n"], most: float = OVERLAP) -> list[int]:
    """Which boxes to keep so that no two overlap by more than `most`, the surest first."""
    kept: list[int] = []
    for i in np.argsort(doubts, kind="stable"):
        if all(overlap(boxes[i], boxes[j]) <= most for j in kept):
            kept.append(int(i))
    return kept


def overlap(one: Float[np.ndarray, " 4"], other: Float[np.ndarray, " 4"]) -> float:
    """Intersection over union.

    >>> overlap(np.array([0.0, 0, 2, 2]), np.array([1.0, 0, 3, 2]))
    0.3333333333333333
    """
    shared = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None).prod()
    both = sum(float((box[2:] - box[:2]).prod()) for box in (one, other)) - shared
    return float(shared / both) if both > 0 else 0.0
