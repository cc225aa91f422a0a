"""How sure a solve is: the covariance of the pseudorange fix."""

import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.decoders._all_cells import stations
from keyposs.decoders._anchors import Peak, best_window, find_peak, precise, squared_ranges
from keyposs.decoders._fix import Fix, closed_form
from keyposs.decoders.pseudorange import solve
from keyposs.types import Heatmaps


def uncertainty(
    heatmaps: Heatmaps, *, sigma: float = 2.0, kernel: int | None = 4, noise: float | Tensor | None = None
) -> Float[Tensor, "*batch 2 2"]:
    """Covariance of `pseudorange`'s point, in cells^2, by the delta method.

    Assumes independent noise of one standard deviation on the cells of the window. Then
    `std(d_i^2) = 2 sigma^2 noise / p_i`, the weights `p_i^2` are the inverse variances, and

        cov(x) = sigma^4 noise^2 (sum_i p_i^2 (a_i - mean a)(a_i - mean a)^T)^-1.

    A network's errors are smooth over cells, not independent: use the covariance to rank points, or fit `noise` on a
    validation set (`keyposs.callbacks.Calibration`).

    Args:
        heatmaps: distance maps.
        sigma: of the maps, in cells.
        kernel: side of the anchor window, in cells; None for all cells.
        noise: standard deviation of a cell; None: estimated from what each fit leaves over of its window.

    Returns:
        Covariances of (x, y). Where no point can be solved for, that of a point anywhere in the map.

    Raises:
        ValueError: if the kernel is below 2 or larger than the map, or neither kernel nor noise is given.
    """
    if kernel is None and noise is None:
        raise ValueError("noise=None needs a kernel: what a fit of all cells leaves over is mostly of far ones")
    h, w = heatmaps.shape[-2:]
    peak = find_peak(heatmaps)
    fix = _moments_of_all(heatmaps, peak) if kernel is None else solve(heatmaps, peak, sigma, kernel)
    if noise is None:
        assert kernel is not None
        variance = _left_over(heatmaps, peak, fix, sigma, kernel)
    else:
        variance = (noise / peak.value.clamp_min(1e-10)) ** 2  # relative to the peak, as the weights are
    scale = sigma**4 * variance / fix.det
    solved = fix.regular & (peak.value > 0)
    xx = torch.where(solved, scale * fix.Syy, w * w / 12)
    yy = torch.where(solved, scale * fix.Sxx, h * h / 12)
    xy = torch.where(solved, -scale * fix.Sxy, 0.0)
    return torch.stack((torch.stack((xx, xy), -1), torch.stack((xy, yy), -1)), -2)


def _moments_of_all(heatmaps: Heatmaps, peak: Peak) -> Fix:
    """Of `pseudorange` over all cells; the point, which takes logarithms, is left at their mean."""
    top = peak.value[..., None, None]
    values = precise(heatmaps)
    response = torch.where(values <= top, values, 0).clamp_min_(0) / top  # NaN and infinity are not below the peak
    told = stations(response.square_())
    Sxx, Sxy, Syy = (told.total * part for part in told.moments)
    return closed_form((Sxx, Sxy, Syy), told.mean, (0 * Sxx, 0 * Syy), told.mean, least=0)


def _left_over(heatmaps: Heatmaps, peak: Peak, fix: Fix, sigma: float, kernel: int) -> Float[Tensor, "*batch"]:
    """The variance of a cell, over that of the peak, that makes a fit's weighted squares what they are."""
    window = best_window(heatmaps, peak, kernel)
    steps = torch.arange(kernel**2, device=heatmaps.device)
    x, y = window.x[..., None] + steps % kernel, window.y[..., None] + steps // kernel
    error = (x - fix.x[..., None]) ** 2 + (y - fix.y[..., None]) ** 2
    error = error - squared_ranges(window.responses, sigma, kernel)
    weight = window.responses.clamp_min(0) ** 2
    share = weight / weight.sum(-1, keepdim=True).clamp_min(1e-30)
    squares = (weight * (error - (share * error).sum(-1, keepdim=True)) ** 2).sum(-1)
    return squares / (4 * sigma**4) / (kernel**2 - 3)  # three unknowns: x, y and the amplitude
