"""What every target representation owes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

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
    def covariance(self, output: Output) -> Float[Tensor, "b k 2 2"] | None:
        """How uncertain each point is: its covariance in crop pixels squared; None where the codec tells none."""
