"""The records that travel through the house, and the shapes that its functions speak of."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

Points = Float[Tensor, "*batch 2"]
"""(x, y), in the unit that the function names: cells of a map or pixels of an image."""

Scores = Float[Tensor, "*batch"]
"""Confidence in [0, 1]; 0 where nothing could be read."""

Heatmaps = Float[Tensor, "*batch h w"]
"""Distance maps: `exp(-d^2 / 2 sigma^2)` of each cell's distance `d` to the landmark."""

Decoder = Callable[..., tuple[Tensor, Tensor]]
"""Heatmaps in, (points, scores) out, in cells."""

Photo = UInt8[np.ndarray, "h w 3"]
"""RGB, as read from a file."""

Matrix = Float[np.ndarray, "2 3"]
"""An affine map of pixel coordinates: `matrix[:, :2] @ (x, y) + matrix[:, 2]`."""


class Annotation(NamedTuple):
    """One face as its dataset describes it; its photo is read only when asked for.

    Coordinates are pixels of the stored photo; pixel `i` has its centre at coordinate `i`.
    """

    name: str  # unique in the dataset, like "afw/134212_1"
    photo: str  # the source photo, like "afw/134212": its faces stay on one side of a split
    file: Path | None  # what the photo is read from; None: it is painted
    subsets: tuple[str, ...]  # the test subsets that the face counts in, "all" where a dataset has none
    keypoints: Float[np.ndarray, "k 2"]
    visible: Bool[np.ndarray, " k"]  # annotated: counts in loss and NME
    occluded: Bool[np.ndarray, " k"]
    box: Float[np.ndarray, " 4"]  # x0, y0, x1, y1; from a dataset the tight box of the visible keypoints
    face_box: Float[np.ndarray, " 4"] | None  # the dataset's own box of the face
    norm: float  # the normaliser of this face's error, in pixels of the photo
    read: Callable[[], Photo]


class Truth(NamedTuple):
    """What a codec's loss is told of a batch of faces."""

    keypoints: Float[Tensor, "b k 2"]  # pixels of the crop; they may lie off it
    visible: Bool[Tensor, "b k"]  # annotated: counts in the loss
    norm: Float[Tensor, " b"]  # the normaliser of each face's error, in pixels of the crop


class Faces(NamedTuple):
    """One face crop, or a batch of them (then every field has a leading axis or is a list)."""

    image: UInt8[Tensor, "*batch 3 h w"] | Float[Tensor, "*batch 3 h w"]  # RGB
    keypoints: Float[Tensor, "*batch k 2"]  # pixels of the crop, never clamped to it
    visible: Bool[Tensor, "*batch k"]
    occluded: Bool[Tensor, "*batch k"]
    box: Float[Tensor, "*batch 4"]  # pixels of the photo
    norm: Float[Tensor, "*batch"]  # pixels of the photo
    subsets: list[tuple[str, ...]] | tuple[str, ...]
    crop_to_image: Float[Tensor, "*batch 2 3"]  # crop pixels to photo pixels
    name: list[str] | str
