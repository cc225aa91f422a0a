"""The representation of KeyPosS: each cell says how far the landmark is."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.codecs.base import Codec
from keyposs.decoders import uncertainty
from keyposs.errors import KeyposError
from keyposs.grid import Grid
from keyposs.losses import Loss, check_loss, mse, visible_mean
from keyposs.types import Decoder, Truth

FITTING = "mse, huber, awing, star, dsnt, end_to_end"
"""Losses of maps."""

ACTIVATIONS = ("identity", "exp", "softmax")

NEAR = 1 / 32
"""Sides of the crop: 8 pixels of 256."""

HIGHEST = 80.0
"""Logarithms above it count as this: float32 holds no number that is much higher."""


@final
class DistanceMap(Codec):
    """Distance maps `h = exp(-d^2 / 2 sigma^2)`, `d` the distance of a cell to the landmark, in cells.

    KeyPosS (Bao et al., MM 2023), eq. 3, with peak 1 as its published code has it, not the printed prefactor.

    Args:
        grid: crop and map.
        decoders: name -> decoder; all of them read every output.
        sigma: in cells, the same at every size.
        unbiased: centre the Gaussian on the real-valued position and draw the whole map; else round the centre to
            the nearest cell (halves up) and cut it off at 3 sigma, which loses the sub-cell position for good.
        loss: of maps, see `keyposs.losses`.
        activation: what makes maps of the network's output: `identity`; `exp`, whose output is `ln h`, and
            counts as -87 below that; or `softmax`, times `2 pi sigma^2`, the sum of a Gaussian.

    Raises:
        KeyposError: if sigma is not positive, the activation is unknown, no decoder is given, one cannot read a map of
            this size, or the loss is not one of maps.

    >>> from keyposs.decoders import multilateration
    >>> codec = DistanceMap(Grid(256, 8), {"multilateration": multilateration})
    >>> keypoints = torch.tensor([[[100.0, 20.0]]])
    >>> points, scores = codec.decode(codec.encode(keypoints))["multilateration"]
    >>> points.round(decimals=2)
    tensor([[[100.,  20.]]])
    """

    method = "distance_map"
    reads = Tensor

    def __init__(
        self,
        grid: Grid,
        decoders: Mapping[str, Decoder],
        *,
        sigma: float = 2.0,
        unbiased: bool = True,
        loss: Loss = mse,
        activation: str = "identity",
    ) -> None:
        super().__init__(spread=float("nan"))
        if not 0 < sigma < float("inf"):
            raise KeyposError(f"codec.sigma={sigma}", "is not a positive number of cells", "use 2, as the paper does")
        if activation not in ACTIVATIONS:
            raise KeyposError(f"codec.activation={activation}", "is unknown", f"choose from {', '.join(ACTIVATIONS)}")
        self.grid, self.sigma, self.unbiased = grid, sigma, unbiased
        self.map_loss, self.activation = loss, activation
        self.decoders = dict(decoders)
        self.encoding = "unbiased" if unbiased else "biased"
        self._check_decoders()
        self._check_loss()

    @property
    def names(self) -> tuple[str, ...]:
        """The configured decoders."""
        return tuple(self.decoders)

    def encode(self, keypoints: Float[Tensor, "b k 2"]) -> Float[Tensor, "b k h w"]:
        """The maps, or their logarithms, of which `exp` and `softmax` make them."""
        maps = self.draw(keypoints)
        return maps if self.activation == "identity" else maps.clamp(min=torch.finfo(maps.dtype).tiny).log()

    def maps(self, output: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k h w"]:
        """The maps of an output, each in one piece, or every decoder would copy it."""
        output = output.contiguous()
        if self.activation == "identity":
            return output
        output = output.to(torch.promote_types(output.dtype, torch.float32))
        if self.activation == "exp":
            return output.clamp(max=HIGHEST).exp()
        return 2 * torch.pi * self.sigma**2 * output.flatten(-2).softmax(-1).view_as(output)

    def draw(self, keypoints: Float[Tensor, "b k 2"]) -> Float[Tensor, "b k h w"]:
        """Draws the maps, as the outer product of a Gaussian along y and one along x."""
        centre = self.grid.to_cells(keypoints)
        cells = torch.arange(self.grid.heatmap_size, dtype=keypoints.dtype, device=keypoints.device)
        if not self.unbiased:
            centre = (centre + 0.5).floor()
        offset = cells - centre[..., None]
        profile = torch.exp(-offset.square() / (2 * self.sigma**2))
        if not self.unbiased:
            profile = torch.where(offset.abs() <= 3 * self.sigma, profile, 0)
        return profile[..., 1, :, None] * profile[..., 0, None, :]

    def loss(self, output: Float[Tensor, "b k h w"], truth: Truth) -> Float[Tensor, ""]:
        """Mean of the loss over the maps of visible keypoints, in float32."""
        keypoints = torch.where(truth.visible[..., None], truth.keypoints.float(), 0)
        values = self.map_loss(self.maps(output.float()), self.draw(keypoints), self.grid.to_cells(keypoints))
        return visible_mean(values, truth.visible)

    def average(
        self, output: Float[Tensor, "b k h w"], mirrored: Float[Tensor, "b k h w"], flip: Sequence[int]
    ) -> Float[Tensor, "b k h w"]:
        """The mean of a map and the mirrored image's map, turned back.

        Pixels and cells share their outer border, so column `j` of a mirrored map is column `w - 1 - j` of the map at
        every stride: no shift is due. (The published code shifts by a cell, which leaves half a pixel of bias.)
        """
        return (output + mirrored.flip(-1)[:, list(flip)]) / 2

    def decode(self, output: Float[Tensor, "b k h w"]) -> dict[str, tuple[Tensor, Tensor]]:
        """Reads the maps with every decoder; see `Codec.decode`.

        Scores are the decoders', the height of the peak. Of the reading whose covariances are calibrated they are how
        likely it is that the point is within `NEAR` of the truth, which ranks errors far better, and 0 as before where
        nothing could be read.
        """
        maps, readings = self.maps(output), {}
        for name, decoder in self.decoders.items():
            cells, scores = decoder(maps)
            readings[name] = self.grid.to_pixels(cells), self._likely(maps, scores) if self.measures(name) else scores
        return readings

    def _likely(self, maps: Float[Tensor, "b k h w"], scores: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        told = self._told(maps)
        if told is None:
            return scores
        likely = near(self.spread.square() * told, NEAR * self.grid.image_size).to(scores)
        return torch.where(~self.spread.isnan() & (scores > 0), likely, scores)

    def told(self, output: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 2 2"] | None:
        """That of the pseudorange fix of all cells, for noise of 1 on each: see `keyposs.decoders.uncertainty`.

        None of a softmax, whose loss need not make it a distance map.
        """
        return self._told(self.maps(output))

    def _told(self, maps: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 2 2"] | None:
        if self.activation == "softmax":
            return None
        return self.grid.stride**2 * uncertainty(maps, sigma=self.sigma, kernel=None, noise=1.0)

    def _check_loss(self) -> None:
        corner = torch.zeros(1, 1, 2)
        check_loss(self.map_loss, torch.zeros_like(self.draw(corner)), self.draw(corner), corner, fitting=FITTING)

    def _check_decoders(self) -> None:
        if not self.decoders:
            raise KeyposError(
                "decoder", "no decoder is chosen", "choose some, such as decoder=[one_hot,multilateration]"
            )
        size = self.grid.heatmap_size
        for name, decoder in self.decoders.items():
            try:
                decoder(torch.zeros(1, size, size))
            except ValueError as error:
                raise KeyposError(
                    f"decoder.{name}",
                    f"cannot read maps of heatmap_size={size} ({error})",
                    "change it or leave it out",
                ) from error


def near(covariances: Float[Tensor, "*batch 2 2"], distance: float) -> Float[Tensor, "*batch"]:
    """How likely a point with this covariance is within a distance of the truth.

    That of the round normal distribution with the same mean squared distance.

    >>> near(torch.eye(2), 1.0)
    tensor(0.3935)
    """
    return -torch.expm1(-(distance**2) / (covariances[..., 0, 0] + covariances[..., 1, 1]))
