"""The pseudorange fix with every cell of the map as a station."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.decoders._fix import Fix, closed_form

DAMPING = 1e-5
"""Added to the moments, cells^2: a map whose weight is all on one cell then reads as that cell, with bounded slopes."""


class Stations(NamedTuple):
    """Where the cells of each map lie under their weights: sums over the map, and coordinates from their mean."""

    total: Float[Tensor, "*batch"]
    mean: tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]  # x, y, in cells
    dx: Float[Tensor, "*batch w"]  # of the columns, from the mean
    dy: Float[Tensor, "*batch h"]
    columns: Float[Tensor, "*batch w"]  # weights, of total 1
    rows: Float[Tensor, "*batch h"]
    first: Float[Tensor, "*batch w"]  # moment along y, of each column
    moments: tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]  # Sxx, Sxy, Syy


def stations(weight: Float[Tensor, "*batch h w"]) -> Stations:
    """The sums, in three passes over the weights and no matrix product, which autocast would compute in half precision.

    Args:
        weight: of each cell; float32 or float64, not negative, with a positive sum.
    """
    h, w = weight.shape[-2:]
    x = torch.arange(w, dtype=weight.dtype, device=weight.device)
    y = torch.arange(h, dtype=weight.dtype, device=weight.device)
    columns, rows = weight.sum(-2), weight.sum(-1)
    total = rows.sum(-1)
    columns, rows = columns / total[..., None], rows / total[..., None]
    mean = (columns * x).sum(-1), (rows * y).sum(-1)
    dx, dy = x - mean[0][..., None], y - mean[1][..., None]
    first = (weight * dy[..., None]).sum(-2) / total[..., None]
    moments = (columns * dx**2).sum(-1) + DAMPING, (first * dx).sum(-1), (rows * dy**2).sum(-1) + DAMPING
    return Stations(total, mean, dx, dy, columns, rows, first, moments)


def fix_all(logs: Float[Tensor, "*batch h w"], sigma: float) -> Fix:
    """Weighted least squares of `2 a . x + b = |a|^2 + 2 sigma^2 ln p` over all cells `a`, with weights `p^2`.

    See `pseudorange` for the equations. About the weighted mean of the cells they need the moments of the weights up to
    the third, and the first of `ln p`: six passes over each map.

    Args:
        logs: `ln p` of each cell, up to a constant of each map; float32 or float64, finite.
        sigma: of the maps, in cells.
    """
    logs = logs - logs.detach().amax((-2, -1), keepdim=True)
    weight = (2 * logs).exp()
    total, mean, dx, dy, columns, rows, first, moments = stations(weight)
    second = (weight * dy[..., None] ** 2).sum(-2) / total[..., None]
    ranges = weight * logs
    rx, ry = ((s * d).sum(-1) / total for s, d in ((ranges.sum(-2), dx), (ranges.sum(-1), dy)))
    vx = ((columns * dx**2 + second) * dx).sum(-1) / 2 + sigma**2 * rx
    vy = ((rows * dy**3).sum(-1) + (first * dx**2).sum(-1)) / 2 + sigma**2 * ry
    fix = closed_form(moments, (vx, vy), mean, mean, least=0)
    Sxx, Sxy, Syy = (total * part for part in moments)
    return Fix(fix.x, fix.y, Sxx, Sxy, Syy, total**2 * fix.det, fix.regular)
