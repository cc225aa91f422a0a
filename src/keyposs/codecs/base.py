"""What every target representation owes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from keyposs.types import Truth

Output = Any
"""What a head gives and a codec reads: a tensor, or a named tuple of tensors."""


class Codec(nn.Module, ABC):
    """A target representation: draws it, scores it, reads it. Every subclass is final."""

    method: str
    """How the representation is called in tables, like `distance_map`."""

    encoding: str
    """Its variant, like `unbiased`."""

    reads: type
    """Of what kind the output is; a head says so with `gives`."""

    spread: Tensor
    """What standard deviations are multiplied by; NaN where they mean nothing before they are calibrated."""

    calibrated: str | None = None
    """The reading that `spread` was fitted to, and whose covariances these are; None: not known, taken to be any."""

    def __init__(self, spread: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("spread", torch.tensor(spread))

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """How the readings that `decode` gives are called."""

    @abstractmethod
    def encode(self, keypoints: Float[Tensor, "b k 2"]) -> Output:
        """The ideal output for keypoints in crop pixels, which may lie off the crop: `decode` reads them off it."""

    @abstractmethod
    def loss(self, output: Output, truth: Truth) -> Float[Tensor, ""]:
        """The training loss over the visible keypoints, in float32."""

    @abstractmethod
    def average(self, output: Output, mirrored: Output, flip: Sequence[int]) -> Output:
        """One output from those of an image and of its mirror image (flip test).

        Args:
            output: of the image.
            mirrored: of the image with its columns reversed.
            flip: the permutation of the output's own points that belongs to a mirrored image, see `Markup.flip`.
        """

    @abstractmethod
    def decode(self, output: Output) -> dict[str, tuple[Tensor, Tensor]]:
        """Every configured reading of an output: its name, points in crop pixels (b, k, 2) and scores (b, k)."""

    @abstractmethod
    def told(self, output: Output) -> Float[Tensor, "b k 2 2"] | None:
        """The covariance of each point as the output has it, in crop pixels squared; None where it has none."""

    def covariance(self, output: Output, reading: str | None = None) -> Float[Tensor, "b k 2 2"] | None:
        """How uncertain each point is: its covariance in crop pixels squared, with the scale that `Calibration` fitted.

        None where the codec tells none, none that means anything before it is calibrated, or none of this reading.

        Args:
            output: of the network.
            reading: whose points they shall be of; None: the calibrated one.
        """
        told = self.told(output)
        if told is None or self.spread.isnan() or not (reading is None or self.measures(reading)):
            return None
        return self.spread.square() * told

    def measures(self, reading: str) -> bool:
        """Whether covariances are those of a reading."""
        return self.calibrated in (None, reading)
