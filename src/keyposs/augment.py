"""What a training face may look like: one affine, a mirror, light, blur, noise and things in front of it."""

import os
import random
from collections.abc import Sequence
from typing import NamedTuple

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks a server for its version

import albumentations as A  # noqa: N812
import numpy as np
from jaxtyping import Bool, Float

from keyposs.crop import apply, canonical_size
from keyposs.types import Matrix, Photo

Real = float | int
"""A yaml may say 1 for 1.0."""


class Augmented(NamedTuple):
    """A changed crop and what is known about it."""

    image: Photo
    keypoints: Float[np.ndarray, "k 2"]
    visible: Bool[np.ndarray, " k"]
    occluded: Bool[np.ndarray, " k"]
    matrix: Matrix  # pixels of the canonical crop to pixels of this one; negative determinant: mirrored


class Augment:
    """Changes a canonical crop at random and cuts its centre; with nothing asked for it only cuts.

    Args:
        image_size: side of the crop that comes out.
        rotation: at most so many degrees, either way.
        scale: smallest and largest zoom.
        shift: at most this fraction of `image_size`, either way, along x and along y.
        flip: probability of a mirrored face.
        colour: probability of each of: brightness and contrast, hue and saturation, gamma.
        blur: probability of a blur (Gaussian, of motion, or of a small photo).
        noise: probability of noise.
        grey: probability of a grey photo.
        jpeg: probability of JPEG artefacts.
        occlusion: probability of one to three boxes in front of the face.
    """

    def __init__(
        self,
        image_size: int,
        *,
        rotation: Real = 0,
        scale: Sequence[Real] = (1, 1),
        shift: Real = 0,
        flip: Real = 0,
        colour: Real = 0,
        blur: Real = 0,
        noise: Real = 0,
        grey: Real = 0,
        jpeg: Real = 0,
        occlusion: Real = 0,
    ) -> None:
        self.image_size = image_size
        fraction = shift * image_size / canonical_size(image_size)
        still = rotation == 0 and shift == 0 and tuple(scale) == (1, 1)
        affine = A.Affine(
            rotate=(-rotation, rotation),
            scale=(float(scale[0]), float(scale[1])),
            translate_percent=(-fraction, fraction),
            keep_ratio=True,
            p=0 if still else 1,
        )
        where = [affine, A.CenterCrop(image_size, image_size), A.HorizontalFlip(p=flip)]
        self._pipeline = A.Compose(
            [*where, *_appearance(colour, blur, noise, grey, jpeg, occlusion)],
            keypoint_params=A.KeypointParams("xy", remove_invisible=False),
        )

    def __call__(
        self,
        image: Photo,
        keypoints: Float[np.ndarray, "k 2"],
        visible: Bool[np.ndarray, " k"],
        occluded: Bool[np.ndarray, " k"],
        *,
        flip: Sequence[int],
        seed: int,
    ) -> Augmented:
        """The crop as this seed changes it; the same seed gives the same crop.

        Args:
            image: the canonical crop.
            keypoints: in its pixels; they may lie outside of it, and stay true.
            visible: which of them are annotated.
            occluded: which of them are hidden.
            flip: the Markup's permutation for a mirrored face.
            seed: of all that is drawn.
        """
        # One generator for all: Compose.set_random_seed would let every transform draw the same numbers.
        self._pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        size = image.shape[0]
        frame = np.array([[0, 0], [size, 0], [0, size]], dtype=np.float32)
        changed = self._pipeline(image=image, keypoints=frame)
        origin, x, y = np.asarray(changed["keypoints"], dtype=np.float64)
        matrix = np.column_stack([(x - origin) / size, (y - origin) / size, origin])
        order = list(flip) if np.linalg.det(matrix[:, :2]) < 0 else slice(None)
        return Augmented(changed["image"], apply(matrix, keypoints)[order], visible[order], occluded[order], matrix)


def _appearance(
    colour: Real, blur: Real, noise: Real, grey: Real, jpeg: Real, occlusion: Real
) -> list[A.BasicTransform | A.BaseCompose]:
    """What changes pixels and leaves points where they are."""
    return [
        A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.25, p=colour),
        A.HueSaturationValue(hue_shift_limit=8, sat_shift_limit=30, val_shift_limit=0, p=colour),
        A.RandomGamma(gamma_limit=(80, 125), p=colour),
        A.ToGray(p=grey),
        A.OneOf(
            [
                A.GaussianBlur(blur_limit=0, sigma_limit=(0.5, 2.5), p=1),
                A.MotionBlur(blur_limit=(3, 11), p=1),
                A.Downscale(scale_range=(0.3, 0.7), p=1),
            ],
            p=blur,
        ),
        A.GaussNoise(std_range=(0.01, 0.06), p=noise),
        A.ImageCompression(quality_range=(30, 90), p=jpeg),
        A.CoarseDropout(
            num_holes_range=(1, 3),
            hole_height_range=(0.08, 0.35),
            hole_width_range=(0.08, 0.35),
            fill="random_uniform",
            p=occlusion,
        ),
    ]
