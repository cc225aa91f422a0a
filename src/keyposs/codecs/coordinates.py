"""Coordinates themselves, each with a scale of its error: what a regression gives."""

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.codecs.base import Codec
from keyposs.errors import KeyposError
from keyposs.grid import Grid
from keyposs.losses import Loss, check_loss, laplace, name_of, visible_mean
from keyposs.types import Truth

FITTING = "rle, laplace, wing, smooth_l1"
"""Losses of coordinates."""


class Regression(NamedTuple):
    """Landmarks in sides of the crop, whose corners are (0, 0) and (1, 1), by stages; the last one is read."""

    points: Float[Tensor, "s b k 2"]  # they may lie off the crop
    scale: Float[Tensor, "s b k 2"]  # the mean error that is expected of each coordinate


@final
class Coordinates(Codec):
    """Regressed coordinates with a scale each, every stage of them trained (deep supervision).

    Args:
        image_size: side of the crop, in pixels.
        loss: of coordinates, see `keyposs.losses`.

    Raises:
        KeyposError: if the crop is empty, or the loss is not one of coordinates with scales.

    >>> codec = Coordinates(256)
    >>> points, scores = codec.decode(codec.encode(torch.tensor([[[100.0, -20.0]]])))["coordinates"]
    >>> points
    tensor([[[100., -20.]]])
    """

    method = "coordinates"
    reads = Regression

    def __init__(self, image_size: int, loss: Loss = laplace) -> None:
        super().__init__()
        self.grid = Grid(image_size, 1)  # the crop as one cell, whose side is the unit
        self.point_loss = loss
        self._check_loss()
        self.encoding = name_of(loss)

    @property
    def names(self) -> tuple[str, ...]:
        """One reading."""
        return (self.method,)

    def encode(self, keypoints: Float[Tensor, "b k 2"]) -> Regression:
        """One stage, the keypoints with a scale of 0."""
        points = self._to_sides(keypoints)[None]
        return Regression(points, torch.zeros_like(points))

    def loss(self, output: Regression, truth: Truth) -> Float[Tensor, ""]:
        """Mean of the loss over the stages, visible keypoints and axes, in float32."""
        stages = len(output.points)
        keypoints = torch.where(truth.visible[..., None], self._to_sides(truth.keypoints.float()), 0)
        points, scale = (x.to(torch.promote_types(x.dtype, torch.float32)).flatten(0, 1) for x in output)
        values = self.point_loss(points, keypoints.repeat(stages, 1, 1), scale)
        return visible_mean(values, truth.visible.repeat(stages, 1))

    def average(self, output: Regression, mirrored: Regression, flip: Sequence[int]) -> Regression:
        """The mean of points and of scales, the mirrored image's points turned back: `x` becomes `1 - x`."""
        points, scale = (x[:, :, list(flip)] for x in mirrored)
        points = torch.stack((1 - points[..., 0], points[..., 1]), dim=-1)
        return Regression((output.points + points) / 2, (output.scale + scale) / 2)

    def decode(self, output: Regression) -> dict[str, tuple[Tensor, Tensor]]:
        """The last stage, scored with 1 minus its mean scale; a point that is not finite is the crop's centre."""
        points, scale = (x[-1].float() for x in output)
        finite = (points.isfinite() & scale.isfinite()).all(-1)
        points = torch.where(finite[..., None], points, 0.5)
        scores = torch.where(finite, 1 - scale.mean(-1), 0).clamp(0, 1)
        return {self.method: (self._to_pixels(points), scores)}

    def told(self, output: Regression) -> Float[Tensor, "b k 2 2"]:
        """Diagonal, see `Codec.told`: the variance `2 b^2` of a Laplace distribution of the last stage's scale `b`.

        With `loss=rle` too, where the scale is the mean error as well and the flow alone shapes its distribution. A
        point that `decode` cannot read may be anywhere on the crop.
        """
        points, scale = (x[-1].float() for x in output)
        known = torch.where((points.isfinite() & scale.isfinite()).all(-1, keepdim=True), scale, 1)
        return torch.diag_embed(2 * (known * self.grid.stride).square())

    def _to_sides(self, pixels: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        return self.grid.to_cells(pixels) + 0.5

    def _to_pixels(self, sides: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        return self.grid.to_pixels(sides - 0.5)

    def _check_loss(self) -> None:
        one = torch.ones(1, 1, 2)
        check_loss(self.point_loss, one, one, one, fitting=FITTING)
        with torch.no_grad():
            same = self.point_loss(one, one / 2, one).equal(self.point_loss(one, one / 2, one / 2))
        if same:
            raise KeyposError(f"loss={name_of(self.point_loss)}", "leaves the scale out", f"choose from {FITTING}")
