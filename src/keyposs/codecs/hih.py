"""Heatmap-in-Heatmap: one map says which cell a landmark is in, a small one where in that cell."""

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from keyposs.codecs.base import Codec
from keyposs.decoders._anchors import find_peak, finite, precise, reading
from keyposs.errors import KeyposError
from keyposs.grid import Grid
from keyposs.losses import Loss, check_loss, mse, visible_mean
from keyposs.types import Truth

FITTING = "mse, huber, awing"
"""Losses of integer maps."""


class HIHOutput(NamedTuple):
    """What the codec reads."""

    integer: Float[Tensor, "s b k h w"]  # which cell; of each stack of the network, the last one's last
    decimal: Float[Tensor, "b k bins bins"]  # where in that cell: logits


class _Place(NamedTuple):
    """Where keypoints lie."""

    cell: Float[Tensor, "b k 2"]  # whole numbers
    part: Float[Tensor, "b k 2"]  # bin of the cell, whole numbers
    inside: Bool[Tensor, "b k"]  # on the crop


@final
class HIH(Codec):
    """A point as a whole number of cells and a number of `bins`-ths of a cell, each the peak of a map of its own.

    Lan et al., Heatmap-in-Heatmap (ICCV workshops 2021; v2 of the paper and the released code): with
    `t = (x + 1/2) / stride`, the integer map is a Gaussian of peak 1 around cell `I = floor(t)`, the decimal map one
    of a deviation of 1 around bin `D = floor(bins (t - I))`. A point off the crop has no peak anywhere.

    Two faults of the released code are mended. It truncated the corner of a Gaussian cut out at 10x10 cells towards
    0, so a peak in the first five rows or columns was drawn a cell too far in; here maps are drawn whole. And it
    rounded bins, so a point in the last half bin of a cell had its peak off the decimal map; here bins are floored,
    and read at their centres. Three readings:

    - `hih`: `(I + (D + 1/2) / bins) stride - 1/2`, of the largest cell and the largest bin.
    - `hih_expectation`: `D` as a mean over bins. The softmax that the decimal map is trained to be is almost flat
      (0.038 at the peak, 0.014 far from it), so its mean is near the cell's centre whatever the peak is. The weights
      are what it has above chance, `max(0, P - 1/bins^2)`: zero beyond two bins of an ideal peak, exact to 0.4 bin
      (0.05 but in a cell's outermost bins), and between peaks where the network hesitates between them.
    - `hih_published`: `(I + D / bins) stride - 1/2`, as the released code reads. (It has no `1/2` in pixels, neither
      here nor in `t`: its coordinates begin at the corner of the crop, ours at the centre of its first pixel.) Off
      floored bins this is half a bin low.

    Args:
        grid: crop and integer map.
        loss: of the integer maps; its points are the centres of the cells `I`.
        bins: along the side of a cell.
        sigma: of the integer maps' Gaussian, in cells.
        weight: of the decimal loss, against the mean of the stacks' integer losses. The released code has 0.05 of the
            mean of the divergence's terms over bins, a 64th of the divergence itself: that small, the decimal maps of
            our runs learned nothing in 20 epochs. Here it weighs the divergence.

    Raises:
        KeyposError: if sigma is not positive, the weight is negative, there are no bins, or the loss is not one of
            maps.

    >>> codec = HIH(Grid(256, 64))
    >>> output = codec.encode(torch.tensor([[[100.0, 20.0]]]))
    >>> codec.decode(output)["hih"]
    (tensor([[[100.2500,  20.2500]]]), tensor([[1.]]))
    """

    method = "hih"
    reads = HIHOutput

    def __init__(
        self, grid: Grid, loss: Loss = mse, *, bins: int = 8, sigma: float = 1.5, weight: float = 0.05
    ) -> None:
        super().__init__()
        if not 0 < sigma < float("inf"):
            raise KeyposError(f"codec.sigma={sigma}", "is not a positive number of cells", "use 1.5, as published")
        if not 0 <= weight < float("inf"):
            raise KeyposError(f"codec.weight={weight}", "is not a weight of at least 0", "use 0.05")
        if bins < 1:
            raise KeyposError(f"codec.bins={bins}", "a cell has one bin or more along its side", "use 8, as published")
        self.grid, self.map_loss = grid, loss
        self.bins, self.sigma, self.weight = bins, sigma, weight
        self.encoding = f"{bins} bins"
        corner = torch.zeros(1, 1, 2)
        map_ = self.encode(corner).integer[0]
        check_loss(loss, torch.zeros_like(map_), map_, corner, fitting=FITTING)

    @property
    def names(self) -> tuple[str, ...]:
        """Three readings of the same maps."""
        return "hih", "hih_expectation", "hih_published"

    def encode(self, keypoints: Float[Tensor, "b k 2"]) -> HIHOutput:
        """Both maps, as of one stack."""
        cell, part, inside = self._place(keypoints)
        kept = inside[..., None, None]
        integer = torch.where(kept, gaussian(cell, self.grid.heatmap_size, self.sigma), 0)
        decimal = torch.where(kept, gaussian(part, self.bins, sigma=1.0), 0)
        return HIHOutput(integer[None], decimal)

    def loss(self, output: HIHOutput, truth: Truth) -> Float[Tensor, ""]:
        """The mean of the stacks' integer losses, and `weight` times the decimal one of points on the crop."""
        self._check(output)
        target, place = self.encode(truth.keypoints.float()), self._place(truth.keypoints.float())
        of_stacks = [
            visible_mean(self.map_loss(maps.float(), target.integer[0], place.cell), truth.visible)
            for maps in output.integer
        ]
        divergence = soft_divergence(output.decimal.float(), target.decimal)
        return torch.stack(of_stacks).mean() + self.weight * visible_mean(divergence, truth.visible & place.inside)

    def average(self, output: HIHOutput, mirrored: HIHOutput, flip: Sequence[int]) -> HIHOutput:
        """The mean of the maps and the mirrored image's maps, turned back: cells and bins alike.

        Cells and bins share the crop's outer border, so no shift is due; see `DistanceMap.average`.
        """
        order = list(flip)
        return HIHOutput(
            (output.integer + mirrored.integer.flip(-1)[:, :, order]) / 2,
            (output.decimal + mirrored.decimal.flip(-1)[:, order]) / 2,
        )

    def decode(self, output: HIHOutput) -> dict[str, tuple[Tensor, Tensor]]:
        """The three readings of the last stack; where its map has no positive cell, the map's centre and score 0."""
        self._check(output)
        maps, decimal = output.integer[-1].contiguous(), output.decimal.contiguous()
        peak, part = find_peak(maps), find_peak(decimal)
        largest = torch.stack((part.x, part.y), -1)
        starts = {"hih": largest + 0.5, "hih_expectation": expected_bin(decimal) + 0.5, "hih_published": largest}
        readings = {}
        for name, start in starts.items():
            x, y = (start / self.bins - 0.5).unbind(-1)
            cells, scores = reading(maps, peak, peak.x + x, peak.y + y)
            readings[name] = self.grid.to_pixels(cells), scores
        return readings

    def told(self, output: HIHOutput) -> None:
        """None: the maps are trained to one width, sure or not."""
        return None

    def _check(self, output: HIHOutput) -> None:
        if output.decimal.shape[-2:] != (self.bins, self.bins):
            cause = f"the network's decimal maps are {output.decimal.shape[-1]} bins wide"
            raise KeyposError(f"codec.bins={self.bins}", cause, "leave head.bins out: codec.bins sets both")

    def _place(self, keypoints: Float[Tensor, "b k 2"]) -> _Place:
        from_corner = self.grid.to_cells(keypoints) + 0.5
        cell = from_corner.floor()
        inside = ((cell >= 0) & (cell < self.grid.heatmap_size)).all(-1)
        return _Place(cell, (self.bins * (from_corner - cell)).floor(), inside)


def gaussian(centre: Float[Tensor, "*batch 2"], size: int, sigma: float) -> Float[Tensor, "*batch size size"]:
    """A Gaussian of peak 1, drawn over a whole square map; centre and sigma in its cells."""
    cells = torch.arange(size, dtype=centre.dtype, device=centre.device)
    profile = torch.exp(-(cells - centre[..., None]).square() / (2 * sigma**2))
    return profile[..., 1, :, None] * profile[..., 0, None, :]


def soft_divergence(
    logits: Float[Tensor, "*batch h w"], target: Float[Tensor, "*batch h w"]
) -> Float[Tensor, "*batch"]:
    """The divergence KL(softmax(target) || softmax(logits)) of a map.

    The target's softmax is over the values of the Gaussian as they are, so it is almost flat.
    """
    target, logits = target.flatten(-2).log_softmax(-1), logits.flatten(-2).log_softmax(-1)
    return functional.kl_div(logits, target, reduction="none", log_target=True).sum(-1)


def expected_bin(logits: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch 2"]:
    """Mean (x, y) of the cells of a map, under what its softmax has above chance; the centre where that is nothing."""
    h, w = logits.shape[-2:]
    probability = finite(precise(logits)).flatten(-2).softmax(-1).view(logits.shape)
    above = (probability - 1 / (h * w)).clamp(min=0) + 1e-6  # of a flat map rounding alone would be left
    above = above / above.sum((-2, -1), keepdim=True)
    across = torch.arange(w, dtype=above.dtype, device=above.device)
    down = torch.arange(h, dtype=above.dtype, device=above.device)
    return torch.stack(((above.sum(-2) * across).sum(-1), (above.sum(-1) * down).sum(-1)), -1)
