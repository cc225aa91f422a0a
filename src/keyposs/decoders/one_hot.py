"""The largest cell."""

from keyposs.decoders._anchors import find_peak, reading
from keyposs.types import Heatmaps, Points, Scores


def one_hot(heatmaps: Heatmaps, *, sigma: float = 2.0) -> tuple[Points, Scores]:
    """Read the centre of the largest cell: `m = argmax h` (the paper's eq. 5).

    The error is that of rounding, 0.3826 cell on average, whatever the network does.

    Args:
        heatmaps: distance maps.
        sigma: ignored.

    Returns:
        Points in cells, and peaks clamped to [0, 1]; a map without a positive cell reads as its centre, 0.

    >>> import torch
    >>> heatmaps = torch.zeros(4, 6)
    >>> heatmaps[1, 3] = 0.5
    >>> one_hot(heatmaps)
    (tensor([3., 1.]), tensor(0.5000))
    """
    peak = find_peak(heatmaps)
    return reading(heatmaps, peak, peak.x.to(peak.value.dtype), peak.y.to(peak.value.dtype))
