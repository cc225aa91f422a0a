"""What every target representation owes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

Output = Any
"""What a head gives and a codec reads: a tensor, or a named tuple of tensors."""

Target = Any
"""What a codec draws from keypoints and compares an output with."""


class Codec(nn.Module, ABC):
    """A target representation: draws it, scores it, reads it. Every subclass is final."""

    method: str
    """How the representation is called in tables, like `distance_map`."""

    encoding: str
    """Its variant, like `unbiased`."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """How the readings that `decode` gives are called."""

    @abstractmethod
    def encode(self, keypoints: Float[Tensor, "b k 2"]) -> Target:
        """The target of keypoints in crop pixels; they may lie off the crop."""

    @abstractmethod
    def loss(self, output: Output, target: Target, visible: Bool[Tensor, "b k"]) -> Float[Tensor, ""]:
        """The training loss over the visible keypoints."""

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
