"""How sure a solve is: the covariance of the pseudorange fix."""

import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.decoders._anchors import find_peak
from keyposs.decoders.pseudorange import solve
from keyposs.types import Heatmaps


def uncertainty(
    heatmaps: Heatmaps, *, sigma: float = 2.0, kernel: int = 3, noise: float | None = None
) -> Float[Tensor, "*batch 2 2"]:
    """Covariance of `pseudorange`'s point, in cells^2, by the delta method.

    Assumes independent noise of one standard deviation on the cells of the window. Then
    `std(d_i^2) = 2 sigma^2 noise / p_i`, the weights `p_i^2` are the inverse variances, and

        cov(x) = sigma^4 noise^2 (sum_i p_i^2 (a_i - mean a)(a_i - mean a)^T)^-1.

    A network's errors are smooth over cells, not independent: use the covariance to rank points, or calibrate
    it on a validation set.

    Args:
        heatmaps: distance maps.
        sigma: of the maps, in cells.
        kernel: side of the anchor window, in cells.
        noise: standard deviation of a cell; estimated from what each fit leaves over when None.

    Returns:
        Covariances of (x, y). Where no point can be solved for, that of a point anywhere in the map.

    Raises:
        ValueError: if the kernel is below 2 or larger than the map.
    """
    h, w = heatmaps.shape[-2:]
    peak = find_peak(heatmaps)
    fix = solve(heatmaps, peak, sigma, kernel)
    if noise is None:
        variance = fix.residual / (4 * sigma**4) / (kernel**2 - 3)  # three unknowns: x, y and the amplitude
    else:
        variance = (noise / peak.value.clamp_min(1e-30)) ** 2  # relative to the peak, as the weights are
    scale = sigma**4 * variance / fix.det
    solved = fix.regular & (peak.value > 0)
    xx = torch.where(solved, scale * fix.Syy, w * w / 12)
    yy = torch.where(solved, scale * fix.Sxx, h * h / 12)
    xy = torch.where(solved, -scale * fix.Sxy, 0.0)
    return torch.stack((torch.stack((xx, xy), -1), torch.stack((xy, yy), -1)), -2)
