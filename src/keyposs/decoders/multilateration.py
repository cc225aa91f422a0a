"""True-range multilateration: the paper's decoder."""

import torch

from keyposs.decoders._anchors import best_window, find_peak, reading, squared_ranges
from keyposs.types import Heatmaps, Points, Scores


def multilateration(heatmaps: Heatmaps, *, sigma: float = 2.0, kernel: int = 2) -> tuple[Points, Scores]:
    """Fix the point that has the ranges `d_i` to the anchors `a_i`, by linear least squares.

    The anchors are the cells of the `kernel x kernel` window with the largest sum, among those that lie in
    the map and hold its largest cell. A cell `p_i` says `d_i^2 = -2 sigma^2 ln p_i` (KeyPosS, MM '23, eq. 9).
    Subtracting the equation of the last anchor `a_r` (bottom right) leaves a linear system (eqs. 10-13)

        (a_r - a_i) . x = (d_i^2 - d_r^2 + |a_r|^2 - |a_i|^2) / 2,        i != r,

    whose normal equations are 2 x 2 and solved in closed form (eq. 14). Only differences of `d^2` enter, so a
    wrong amplitude cancels; a wrong sigma does not.

    Args:
        heatmaps: distance maps.
        sigma: of the maps, in cells.
        kernel: side of the anchor window, in cells.

    Returns:
        Points in cells, and peaks clamped to [0, 1]; a map without a positive cell reads as its centre, 0.

    Raises:
        ValueError: if the kernel is below 2 or larger than the map.

    >>> import torch
    >>> x, y = torch.arange(6.0), torch.arange(5.0)[:, None]
    >>> heatmaps = 0.7 * torch.exp(-((x - 3.3) ** 2 + (y + 0.4) ** 2) / 8)
    >>> points, scores = multilateration(heatmaps)
    >>> points.round(decimals=3)
    tensor([ 3.3000, -0.4000])
    """
    peak = find_peak(heatmaps)
    window = best_window(heatmaps, peak, kernel)
    squared = squared_ranges(window.responses, sigma, kernel)
    steps = torch.arange(kernel**2 - 1, -1, -1, device=heatmaps.device)
    u, v = steps % kernel, steps // kernel  # a_r - a_i, with the origin in a_r
    Y = (squared - squared[..., -1:] - (u * u + v * v)) / 2
    Yx, Yy = (u * Y).sum(-1), (v * Y).sum(-1)
    Sxx = kernel**2 * (kernel - 1) * (2 * kernel - 1) / 6
    Sxy = (kernel * (kernel - 1) / 2) ** 2
    det = Sxx**2 - Sxy**2
    x = window.x + (kernel - 1) + (Sxx * Yx - Sxy * Yy) / det
    y = window.y + (kernel - 1) + (Sxx * Yy - Sxy * Yx) / det
    return reading(heatmaps, peak, x, y)
