"""The mean of a softmax over the map."""

import torch

from keyposs.decoders._anchors import find_peak, finite, precise, reading, scale
from keyposs.types import Heatmaps, Points, Scores


def soft_argmax(heatmaps: Heatmaps, *, sigma: float = 2.0, beta: float = 20.0) -> tuple[Points, Scores]:
    """Read the mean cell under the weights `softmax(beta h / max h)` over all cells of a map.

    Sun et al., Integral Human Pose Regression (ECCV 2018), with an inverse temperature. Maps are normalised
    by their peak, so that the amplitude does not act as a temperature. The weights around the peak are a
    Gaussian of `sigma / sqrt(beta)` cells: a larger beta tends to `one_hot`, a smaller one to the centre of
    the map. Near a border the weights are cut off, and the point is pulled inwards.

    Args:
        heatmaps: distance maps.
        sigma: ignored.
        beta: inverse temperature, positive.

    Returns:
        Points in cells, and peaks clamped to [0, 1]; a map without a positive cell reads as its centre, 0.
    """
    peak = find_peak(heatmaps)
    weights = finite(precise(heatmaps))  # a map of its own, so all else can be done in place: memory is what costs
    weights.sub_(peak.value[..., None, None]).div_(scale(peak)[..., None, None]).mul_(beta).exp_()
    columns, rows = weights.sum(-2), weights.sum(-1)
    total = rows.sum(-1)
    across = torch.arange(heatmaps.shape[-1], device=heatmaps.device)
    down = torch.arange(heatmaps.shape[-2], device=heatmaps.device)
    return reading(heatmaps, peak, (columns * across).sum(-1) / total, (rows * down).sum(-1) / total)
