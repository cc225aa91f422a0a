"""DARK: one Newton step on the logarithm of the blurred map."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.decoders._anchors import around, find_peak, off_map, reading, scale
from keyposs.types import Heatmaps, Points, Scores

_BLUR = 11  # cells a side, mmpose's modulate_kernel
_BLUR_SIGMA = 2.0  # what OpenCV derives from 11 cells: 0.3 ((11 - 1) / 2 - 1) + 0.8


def _blurred(patch: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch m m"]:
    """A Gaussian blur of `_BLUR` taps on each axis, where all of them lie in the patch."""
    centre, size = _BLUR // 2, patch.shape[-1] - _BLUR + 1
    taps = [math.exp(-((i - centre) ** 2) / (2 * _BLUR_SIGMA**2)) for i in range(_BLUR)]
    taps = [tap / sum(taps) for tap in taps]
    rows = torch.stack([tap * patch.narrow(-2, i, size) for i, tap in enumerate(taps)]).sum(0)
    return torch.stack([tap * rows.narrow(-1, i, size) for i, tap in enumerate(taps)]).sum(0)


def _newton_step(log: Float[Tensor, "*batch 5 5"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """`-H^-1 g` at the centre, by central differences; 0 where `H` is singular."""
    dx = (log[..., 2, 3] - log[..., 2, 1]) / 2
    dy = (log[..., 3, 2] - log[..., 1, 2]) / 2
    dxx = (log[..., 2, 4] - 2 * log[..., 2, 2] + log[..., 2, 0]) / 4
    dyy = (log[..., 4, 2] - 2 * log[..., 2, 2] + log[..., 0, 2]) / 4
    dxy = (log[..., 3, 3] - log[..., 1, 3] - log[..., 3, 1] + log[..., 1, 1]) / 4
    det = dxx * dyy - dxy * dxy
    regular = det.abs() > 1e-12
    det = torch.where(regular, det, 1.0)
    x, y = (dxy * dy - dyy * dx) / det, (dxy * dx - dxx * dy) / det
    return torch.where(regular, x, 0.0), torch.where(regular, y, 0.0)


def dark(heatmaps: Heatmaps, *, sigma: float = 2.0) -> tuple[Points, Scores]:
    """Read `m - H^-1 g`, with `g` and `H` the slope and curvature of `ln(blur(h))` at the largest cell `m`.

    Zhang et al., Distribution-Aware Coordinate Representation (CVPR 2020), as in mmpose 0.29: a Gaussian blur
    of 11 cells (sigma 2, zeros off the map), a second-difference stencil of two cells, and no step for a peak
    with fewer than two cells on any side. mmpose rescales the blurred map to the old maximum; a factor
    vanishes in the derivatives of a logarithm, so only the 15 x 15 cells that the stencil sees are blurred.

    Args:
        heatmaps: distance maps.
        sigma: ignored; the step needs no model of the map's width.

    Returns:
        Points in cells, and peaks clamped to [0, 1]; a map without a positive cell reads as its centre, 0.
    """
    h, w = heatmaps.shape[-2:]
    peak = find_peak(heatmaps)
    radius = 2 + _BLUR // 2
    patch = around(heatmaps, peak, radius) / scale(peak)[..., None, None]
    patch = torch.where(off_map(heatmaps, peak, radius), 0.0, patch)
    dx, dy = _newton_step(_blurred(patch).clamp_min(1e-10).log())
    inner = (peak.x > 1) & (peak.x < w - 2) & (peak.y > 1) & (peak.y < h - 2)
    x, y = peak.x + torch.where(inner, dx, 0.0), peak.y + torch.where(inner, dy, 0.0)
    return reading(heatmaps, peak, x, y)
