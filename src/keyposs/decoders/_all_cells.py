"""The pseudorange fix with every cell of the map as a station."""

import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.decoders._fix import Fix, closed_form

DAMPING = 1e-5
"""Added to the moments, cells^2: a map whose weight is all on one cell then reads as that cell, with bounded slopes."""


def fix_all(logs: Float[Tensor, "*batch h w"], sigma: float) -> Fix:
    """Weighted least squares of `2 a . x + b = |a|^2 + 2 sigma^2 ln p` over all cells `a`, with weights `p^2`.

    See `pseudorange` for the equations. About the weighted mean of the cells they need the moments of the weights up to
    the third, and the first of `ln p`: five passes over each map, and no matrix product, which autocast would
    compute in half precision.

    Args:
        logs: `ln p` of each cell, up to a constant of each map; float32 or float64, finite.
        sigma: of the maps, in cells.
    """
    logs = logs - logs.detach().amax((-2, -1), keepdim=True)
    weight = (2 * logs).exp()
    total = weight.sum((-2, -1))
    weight = weight / total[..., None, None]
    columns, rows = weight.sum(-2), weight.sum(-1)
    x = torch.arange(logs.shape[-1], dtype=logs.dtype, device=logs.device)
    y = torch.arange(logs.shape[-2], dtype=logs.dtype, device=logs.device)
    mean = (columns * x).sum(-1), (rows * y).sum(-1)
    dx, dy = x - mean[0][..., None], y - mean[1][..., None]
    first, second = ((weight * dy[..., None] ** n).sum(-2) for n in (1, 2))  # moments along y, of each column
    told = weight * logs
    vx = ((columns * dx**2 + second) * dx).sum(-1) / 2 + sigma**2 * (told.sum(-2) * dx).sum(-1)
    vy = ((rows * dy**3).sum(-1) + (first * dx**2).sum(-1)) / 2 + sigma**2 * (told.sum(-1) * dy).sum(-1)
    moments = (columns * dx**2).sum(-1) + DAMPING, (first * dx).sum(-1), (rows * dy**2).sum(-1) + DAMPING
    fix = closed_form(moments, (vx, vy), mean, mean, least=0)
    Sxx, Sxy, Syy = (total * part for part in moments)
    return Fix(fix.x, fix.y, Sxx, Sxy, Syy, total**2 * fix.det, fix.regular)
