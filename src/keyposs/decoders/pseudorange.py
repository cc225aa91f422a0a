"""Multilateration with an unknown amplitude, as satellite navigation solves an unknown clock."""

import torch
from torch import Tensor

from keyposs.decoders._all_cells import fix_all
from keyposs.decoders._anchors import Peak, best_window, find_peak, finite, precise, reading, squared_ranges
from keyposs.decoders._fix import Fix, closed_form
from keyposs.types import Heatmaps, Points, Scores

_SINGULAR = 1e-8  # cells^4: anchors whose weights, the peak's being 1, span less than this say no direction


def solve(heatmaps: Heatmaps, peak: Peak, sigma: float, kernel: int | None, weighted: bool = True) -> Fix:
    """Weighted least squares of `2 a . x + b = |a|^2 - d^2`; centring on the weighted mean eliminates `b`.

    The weights are `(p / peak)^2`, or 1 for all.

    Raises:
        ValueError: if the kernel is below 2 or larger than the map, or all cells are to count alike.
    """
    if kernel is None:
        if not weighted:
            raise ValueError("weighted=False needs a kernel: cells far from the peak say too little to count alike")
        return fix_all(logs(heatmaps), sigma)
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
    moments = (wx * ax).sum(-1), (wx * ay).sum(-1), (wy * ay).sum(-1)
    told = (wx * q).sum(-1), (wy * q).sum(-1)
    return closed_form(moments, told, (window.x + middle, window.y + middle), (peak.x, peak.y), _SINGULAR)


def logs(heatmaps: Heatmaps) -> Tensor:
    """`ln p` of all cells; what is not positive or not finite counts as the smallest normal number."""
    values = finite(precise(heatmaps))
    return values.clamp_min(torch.finfo(values.dtype).tiny).log()


def pseudorange(
    heatmaps: Heatmaps, *, sigma: float = 2.0, kernel: int | None = 4, weighted: bool = True
) -> tuple[Points, Scores]:
    """Fix the point and the map's amplitude together, by weighted linear least squares.

    A map of unknown amplitude `A` says `d_i^2 = -2 sigma^2 ln p_i + c`, the same `c = 2 sigma^2 ln A` for all
    anchors: a pseudorange, as a receiver's clock error adds to all its ranges to satellites. Then

        2 a_i . x + b = |a_i|^2 + 2 sigma^2 ln p_i,        b = c - |x|^2 free,

    is linear in `(x, b)`. No anchor is privileged, and the amplitude cancels. Equal noise on all cells makes
    `var(ln p_i)` grow as `1 / p_i^2`, so the weights are `p_i^2`. Anchors are those of `multilateration`,
    relative to the middle of their window, which keeps float32 exact; or all cells of the map, which is what the loss
    `end_to_end` trains. The 3 x 3 normal equations shrink to 2 x 2 when centred on the weighted mean, and are solved
    in closed form.

    Args:
        heatmaps: distance maps.
        sigma: of the maps, in cells.
        kernel: side of the anchor window, in cells; None for all cells.
        weighted: by `p_i^2`; else all anchors of the window count alike.

    Returns:
        Points in cells, and peaks clamped to [0, 1]; a map without a positive cell reads as its centre, 0. A
        spike, whose other anchors carry no weight, reads as its cell.

    Raises:
        ValueError: if the kernel is below 2 or larger than the map, or there is none to count anchors alike in.

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
