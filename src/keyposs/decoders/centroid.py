"""The mean of the map itself."""

import torch

from keyposs.decoders._anchors import find_peak, finite, precise, reading
from keyposs.types import Heatmaps, Points, Scores


def centroid(heatmaps: Heatmaps, *, sigma: float = 2.0) -> tuple[Points, Scores]:
    """Read the mean cell under a map's positive cells, as ADNet and STAR do, and DSNT of a softmax.

    Huang et al., ADNet (ICCV 2021); Nibali et al., DSNT (2018), eq. 4. It is what the losses `star` and `dsnt` train.
    Of a map that was trained otherwise, any background far from the peak pulls the point towards the map's centre; and
    where the map's border cuts a Gaussian off, the point is pulled inwards.

    Args:
        heatmaps: distance maps.
        sigma: ignored.

    Returns:
        Points in cells, and peaks clamped to [0, 1]; a map without a positive cell reads as its centre, 0.
    """
    peak = find_peak(heatmaps)
    weights = finite(precise(heatmaps)).clamp(min=0)
    columns, rows = weights.sum(-2), weights.sum(-1)
    total = rows.sum(-1).clamp(min=torch.finfo(rows.dtype).tiny)
    across = torch.arange(heatmaps.shape[-1], device=heatmaps.device)
    down = torch.arange(heatmaps.shape[-2], device=heatmaps.device)
    return reading(heatmaps, peak, (columns * across).sum(-1) / total, (rows * down).sum(-1) / total)
