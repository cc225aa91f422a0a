"""Multilateration with an unknown amplitude, as satellite navigation solves an unknown clock."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from keyposs.decoders._anchors import Peak, best_window, find_peak, reading, squared_ranges
from keyposs.types import Heatmaps, Points, Scores

_SINGULAR = 1e-8  # cells^4: anchors whose weights, the peak's being 1, span less than this say no direction


class Fix(NamedTuple):
    """A solve in closed form, with what its covariance needs."""

    x: Float[Tensor, "*batch"]  # cells of the map; the peak's where the system is singular
    y: Float[Tensor, "*batch"]
    Sxx: Float[Tensor, "*batch"]  # centred second moments of the anchors under their weights
    Sxy: Float[Tensor, "*batch"]
    Syy: Float[Tensor, "*batch"]
    det: Float[Tensor, "*batch"]  # of the moments; 1 where the system is singular
    regular: Bool[Tensor, "*batch"]
    residual: Float[Tensor, "*batch"]  # weighted sum of squares that the solution leaves, cells^4


def solve(heatmaps: Heatmaps, peak: Peak, sigma: float, kernel: int, weighted: bool = True) -> Fix:
    """Weighted least squares of `2 a . x + b = |a|^2 - d^2`; centring on the weighted mean eliminates `b`.

    The weights are `(p / peak)^2`, or 1 for all.

    Raises:
        ValueError: if the kernel is below 2 or larger than the map.
    """
    window = best_window(heatmaps, peak, kernel)
    squared = squared_ranges(window.responses, sigma, kernel)
    weight = window.responses.clamp_min(0) ** 2 if weighted else torch.ones_like(window.responses)
    middle = (kernel - 1) / 2
    steps = torch.arange(kernel**2, device=heatmaps.device)
    ax, ay = steps % kernel - middle, steps // kernel - middle
    q = (ax * ax + ay * ay - squared) / 2
    total = weight.sum(-1, keepdim=True)
    share = weight / torch.where(total > 0, total, 1.0)
    ax, ay, q = (t - (share * t).sum(-1, keepdim=True) for t in (ax, ay, q))
    wx, wy = weight * ax, weight * ay
    Sxx, Sxy, Syy = (wx * ax).sum(-1), (wx * ay).sum(-1), (wy * ay).sum(-1)
    Sxq, Syq, Sqq = (wx * q).sum(-1), (wy * q).sum(-1), (weight * q * q).sum(-1)
    det = Sxx * Syy - Sxy * Sxy
    regular = det > _SINGULAR
    det = torch.where(regular, det, 1.0)
    x, y = (Syy * Sxq - Sxy * Syq) / det, (Sxx * Syq - Sxy * Sxq) / det
    left = 4 * (Sqq - x * Sxq - y * Syq).clamp_min(0)
    x = torch.where(regular, window.x + middle + x, peak.x)
    y = torch.where(regular, window.y + middle + y, peak.y)
    return Fix(x, y, Sxx, Sxy, Syy, det, regular, left)


def pseudorange(
    heatmaps: Heatmaps, *, sigma: float = 2.0, kernel: int = 3, weighted: bool = True
) -> tuple[Points, Scores]:
    """Fix the point and the map's amplitude together, by weighted linear least squares.

    A map of unknown amplitude `A` says `d_i^2 = -2 sigma^2 ln p_i + c`, the same `c = 2 sigma^2 ln A` for all
    anchors: a pseudorange, as a receiver's clock error adds to all its ranges to satellites. Then

        2 a_i . x + b = |a_i|^2 + 2 sigma^2 ln p_i,        b = c - |x|^2 free,

    is linear in `(x, b)`. No anchor is privileged, and the amplitude cancels. Equal noise on all cells makes
    `var(ln p_i)` grow as `1 / p_i^2`, so the weights are `p_i^2`. Anchors are those of `multilateration`,
    relative to the middle of their window, which keeps float32 exact; the 3 x 3 normal equations shrink to
    2 x 2 when centred on the weighted mean, and are solved in closed form.

    Args:
        heatmaps: distance maps.
        sigma: of the maps, in cells.
        kernel: side of the anchor window, in cells.
        weighted: by `p_i^2`; else all anchors count alike.

    Returns:
        Points in cells, and peaks clamped to [0, 1]; a map without a positive cell reads as its centre, 0. A
        spike, whose other anchors carry no weight, reads as its cell.

    Raises:
        ValueError: if the kernel is below 2 or larger than the map.

    >>> import torch
    >>> x, y = torch.arange(6.0), torch.arange(5.0)[:, None]
    >>> heatmaps = 1.4 * torch.exp(-((x - 3.3) ** 2 + (y + 0.4) ** 2) / 8)
    >>> points, scores = pseudorange(heatmaps)
    >>> points.round(decimals=3)
    tensor([ 3.3000, -0.4000])
    """
    peak = find_peak(heatmaps)
    fix = solve(heatmaps, peak, sigma, kernel, weighted)
    return reading(heatmaps, peak, fix.x, fix.y)
