"""A quarter of a cell along the slope at the largest cell."""

import torch

from keyposs.decoders._anchors import around, find_peak, reading
from keyposs.types import Heatmaps, Points, Scores


def quarter(heatmaps: Heatmaps, *, sigma: float = 2.0) -> tuple[Points, Scores]:
    """Read `m + 0.25 sign(h(m + 1) - h(m - 1))` on each axis, as mmpose's default post-processing does.

    mmpose (and the paper's "two-hot" rows) refine only peaks with `1 < x < w - 1` and `1 < y < h - 1`, which
    leaves out cells that have both neighbours; here an axis is refined wherever it has them.

    Args:
        heatmaps: distance maps.
        sigma: ignored.

    Returns:
        Points in cells, and peaks clamped to [0, 1]; a map without a positive cell reads as its centre, 0.

    >>> import torch
    >>> quarter(torch.tensor([[0.0, 0.5, 0.0], [0.7, 0.9, 0.6], [0.0, 0.8, 0.0]]))
    (tensor([0.7500, 1.2500]), tensor(0.9000))
    """
    h, w = heatmaps.shape[-2:]
    peak = find_peak(heatmaps)
    patch = around(heatmaps, peak, 1).detach()
    dx = torch.sign(patch[..., 1, 2] - patch[..., 1, 0])
    dy = torch.sign(patch[..., 2, 1] - patch[..., 0, 1])
    dx = torch.where((peak.x > 0) & (peak.x < w - 1), dx, 0.0)
    dy = torch.where((peak.y > 0) & (peak.y < h - 1), dy, 0.0)
    return reading(heatmaps, peak, peak.x + 0.25 * dx, peak.y + 0.25 * dy)
