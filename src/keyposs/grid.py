"""Pixels of a crop and cells of a map: the only place that knows stride and half-pixels."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from keyposs.errors import KeyposError


@dataclass(frozen=True)
class Grid:
    """A square map of `heatmap_size` cells laid over a square crop of `image_size` pixels.

    Pixel and cell `i` have their centres at coordinate `i`, so the corner of the crop is at -0.5 in both.

    Raises:
        KeyposError: if the map is empty or finer than the crop.

    >>> import torch
    >>> grid = Grid(image_size=256, heatmap_size=64)
    >>> grid.to_pixels(torch.tensor([[0.0, 63.0]]))
    tensor([[  1.5000, 253.5000]])
    >>> grid.to_cells(torch.tensor([[-0.5, 255.5]]))
    tensor([[-0.5000, 63.5000]])
    """

    image_size: int
    heatmap_size: int

    def __post_init__(self) -> None:
        if not 1 <= self.heatmap_size <= self.image_size:
            raise KeyposError(
                f"heatmap_size={self.heatmap_size}",
                f"does not fit a crop of image_size={self.image_size} pixels",
                "choose a heatmap_size between 1 and image_size",
            )

    @property
    def stride(self) -> float:
        """Pixels of the crop along the side of a cell."""
        return self.image_size / self.heatmap_size

    def to_cells(self, pixels: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Crop pixels to map cells."""
        return (pixels + 0.5) / self.stride - 0.5

    def to_pixels(self, cells: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Map cells to crop pixels."""
        return (cells + 0.5) * self.stride - 0.5
