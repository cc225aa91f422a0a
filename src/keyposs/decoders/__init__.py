"""Readings of a distance map: pure functions from heatmaps to points and scores, in cells.

Every decoder is `f(heatmaps, *, sigma=2.0, ...)` over the last two axes, whatever the batch shape and device.
Cells that are not finite count as 0; a map without a positive cell reads as its centre with score 0. Half and
bfloat16 are computed in float32, and so are the points; float64 stays float64.

>>> import torch
>>> heatmaps = torch.rand(2, 5, 8, 8)
>>> points, scores = multilateration(heatmaps, sigma=1.5)
>>> points.shape, scores.shape
(torch.Size([2, 5, 2]), torch.Size([2, 5]))
"""

from keyposs.decoders.centroid import centroid
from keyposs.decoders.dark import dark
from keyposs.decoders.gauss_newton import gauss_newton
from keyposs.decoders.multilateration import multilateration
from keyposs.decoders.one_hot import one_hot
from keyposs.decoders.popos import popos
from keyposs.decoders.pseudorange import pseudorange
from keyposs.decoders.quarter import quarter
from keyposs.decoders.soft_argmax import soft_argmax
from keyposs.decoders.two_hot import two_hot
from keyposs.decoders.uncertainty import uncertainty as uncertainty  # of a solve; not itself a decoder

__all__ = [
    "centroid",
    "dark",
    "gauss_newton",
    "multilateration",
    "one_hot",
    "popos",
    "pseudorange",
    "quarter",
    "soft_argmax",
    "two_hot",
]
