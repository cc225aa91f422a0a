"""What a training face may look like: one affine, a mirror, light, blur, noise and things in front of it."""

import os
import random
from collections.abc import Sequence
from typing import NamedTuple

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks a server for its version

import albumentations as A  # noqa: N812
import numpy as np
from jaxtyping import Bool, Float

from keyposs.crop import apply, canonical_size, compose, similarity, warp
from keyposs.errors import KeyposError
from keyposs.types import Matrix, Photo

Real = float | int
"""A yaml may say 1 for 1.0."""

SPREADS = ("uniform", "normal")


class Augmented(NamedTuple):
    """A changed crop and what is known about it."""

    image: Photo
    keypoints: Float[np.ndarray, "k 2"]
    visible: Bool[np.ndarray, " k"]
    occluded: Bool[np.ndarray, " k"]
    matrix: Matrix  # pixels of the canonical crop to pixels of this one; negative determinant: mirrored


class Augment:
    """Cuts a crop at random out of a canonical one and changes its looks; with nothing asked for, its plain centre.

    Args:
        image_size: side of the crop that comes out.
        rotation: degrees, either way: at most so many, or, where the spread is normal, their standard deviation.
        rotated: probability of a rotation.
        scale: least and greatest side of the square that is cut, over its usual side.
        spread: `uniform`, or `normal` as in the paper's code: rotations are clipped at twice their deviation; scales
            have half the width of their range as deviation and are clipped to the range.
        shift: at most this fraction of the square's usual side, either way, along x and along y.
        shifted: probability of a shift.
        flip: probability of a mirrored face.
        colour: probability of each of: brightness and contrast, hue and saturation, gamma.
        blur: probability of a blur (Gaussian, of motion, or of a small photo).
        noise: probability of noise.
        grey: probability of a grey photo.
        jpeg: probability of JPEG artefacts.
        occlusion: probability of one to three boxes in front of the face.

    Raises:
        KeyposError: if the spread is unknown.
    """

    def __init__(
        self,
        image_size: int,
        *,
        rotation: Real = 0,
        rotated: Real = 1,
        scale: Sequence[Real] = (1, 1),
        spread: str = "uniform",
        shift: Real = 0,
        shifted: Real = 1,
        flip: Real = 0,
        colour: Real = 0,
        blur: Real = 0,
        noise: Real = 0,
        grey: Real = 0,
        jpeg: Real = 0,
        occlusion: Real = 0,
    ) -> None:
        if spread not in SPREADS:
            raise KeyposError(f"augment.spread={spread}", "is unknown", f"choose one of {', '.join(SPREADS)}")
        self.image_size, self.spread = image_size, spread
        self.rotation, self.rotated, self.scale, self.flip = rotation, rotated, scale, flip
        self.shift, self.shifted = shift, shifted
        self._looks = A.Compose(_appearance(colour, blur, noise, grey, jpeg, occlusion))

    def __call__(
        self,
        image: Photo,
        keypoints: Float[np.ndarray, "k 2"],
        visible: Bool[np.ndarray, " k"],
        occluded: Bool[np.ndarray, " k"],
        *,
        flip: Sequence[int],
        seed: int,
        frame: Matrix | None = None,
    ) -> Augmented:
        """The crop as this seed changes it; the same seed gives the same crop.

        Args:
            image: the canonical crop.
            keypoints: in its pixels; they may lie outside of it, and stay true.
            visible: which of them are annotated.
            occluded: which of them are hidden.
            flip: the Markup's permutation for a mirrored face.
            seed: of all that is drawn.
            frame: to the canonical crop of another box, from which the new crop is then cut; by default this one.
        """
        generator = np.random.default_rng(seed)
        matrix = self.draw(generator) if frame is None else compose(self.draw(generator), frame)
        # One generator for all: Compose.set_random_seed would let every transform draw the same numbers.
        self._looks.set_random_state(generator, random.Random(seed))
        changed = self._looks(image=warp(image, matrix, self.image_size))["image"]
        order = list(flip) if np.linalg.det(matrix[:, :2]) < 0 else slice(None)
        return Augmented(changed, apply(matrix, keypoints)[order], visible[order], occluded[order], matrix)

    def draw(self, generator: np.random.Generator) -> Matrix:
        """A random matrix from pixels of the canonical crop to those of the crop."""
        mirrored = generator.random() < self.flip
        turned = generator.random() < self.rotated
        angle = self._draw(generator, 0, self.rotation, 2) if turned else 0.0
        low, high = self.scale
        scale = self._draw(generator, (low + high) / 2, (high - low) / 2, 1)
        shift = generator.uniform(-self.shift, self.shift, 2) * self.image_size
        if self.shifted < 1 and generator.random() >= self.shifted:  # drawn only if asked for: older runs go on alike
            shift = np.zeros(2)
        wide, last = canonical_size(self.image_size), self.image_size - 1
        centre = np.full(2, (wide - 1) / 2) + shift
        matrix = similarity(1 / scale, np.radians(angle), centre, np.full(2, last / 2))
        return compose(np.array([[-1.0, 0, last], [0, 1, 0]]), matrix) if mirrored else matrix

    def _draw(self, generator: np.random.Generator, middle: Real, width: Real, limit: int) -> float:
        """A number around the middle: within `width`, or of that deviation and within `limit` times it."""
        if self.spread == "uniform":
            return middle + width * generator.uniform(-1, 1)
        return middle + width * float(np.clip(generator.standard_normal(), -limit, limit))


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
        A.AdditiveNoise(
            noise_type="gaussian",
            spatial_mode="shared",  # of light, not of colours: a quarter of the time to draw
            noise_params={"mean_range": (0, 0), "std_range": (0.01, 0.06)},
            p=noise,
        ),
        A.ImageCompression(quality_range=(30, 90), p=jpeg),
        A.CoarseDropout(
            num_holes_range=(1, 3),
            hole_height_range=(0.08, 0.35),
            hole_width_range=(0.08, 0.35),
            fill="random_uniform",
            p=occlusion,
        ),
    ]
