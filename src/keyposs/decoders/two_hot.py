"""A quarter of a cell from the largest cell towards the second largest."""

import math

import torch

from keyposs.decoders._anchors import Peak, largest_cell, read_row, reading, row_maxima
from keyposs.types import Heatmaps, Points, Scores


def _two_peaks(heatmaps: Heatmaps) -> tuple[Peak, Peak]:
    """The largest cell and the second largest."""
    maxima = row_maxima(heatmaps)
    y = maxima.argmax(-1)
    row = read_row(heatmaps, y)
    peak = largest_cell(heatmaps, y, row)
    rest = row.scatter(-1, peak.x[..., None], -math.inf)
    maxima = maxima.scatter(-1, y[..., None], rest.amax(-1, keepdim=True))
    y = maxima.argmax(-1)
    row = torch.where((y == peak.y)[..., None], rest, read_row(heatmaps, y))
    return peak, largest_cell(heatmaps, y, row)


def two_hot(heatmaps: Heatmaps, *, sigma: float = 2.0) -> tuple[Points, Scores]:
    """Read `m + 0.25 (s - m) / |s - m|`, where `m` is the largest cell and `s` the second largest.

    The paper's eq. 6 has `m - s`, which moves away from the second maximum; the sign is mended here. A second
    maximum that is not positive says nothing, and the point stays on `m`.

    Args:
        heatmaps: distance maps.
        sigma: ignored.

    Returns:
        Points in cells, and peaks clamped to [0, 1]; a map without a positive cell reads as its centre, 0.

    >>> import torch
    >>> two_hot(torch.tensor([[0.0, 0.8, 0.6], [0.0, 0.5, 0.0]]))
    (tensor([1.2500, 0.0000]), tensor(0.8000))
    """
    peak, second = _two_peaks(heatmaps)
    x, y = peak.x.to(peak.value.dtype), peak.y.to(peak.value.dtype)
    dx, dy = second.x - peak.x, second.y - peak.y
    apart = (dx * dx + dy * dy).clamp_min(1).to(peak.value.dtype).sqrt()
    step = torch.where(second.value > 0, 0.25 / apart, 0.0)
    return reading(heatmaps, peak, x + step * dx, y + step * dy)
