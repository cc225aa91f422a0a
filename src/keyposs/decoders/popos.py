"""POPoS: a grid search for the point whose distances to the largest cells are right."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.decoders._anchors import finite, precise
from keyposs.decoders.multilateration import multilateration
from keyposs.types import Heatmaps, Points, Scores


class Search(NamedTuple):
    """How the released code searches maps of one size."""

    anchors: int
    side: float  # of the square of candidates, cells
    candidates: int  # along it


SEARCHES = {
    4: Search(10, 2, 64),
    8: Search(15, 3, 48),
    16: Search(20, 4, 32),
    32: Search(10, 8, 32),
    64: Search(30, 8, 16),
}
"""By the side of the map in cells; between them that of the next larger map."""

LEAST = 1e-9
"""A lower response counts as this: 12.9 cells away, with a sigma of 2."""


def _search(size: int) -> Search:
    """What is searched on a map with this longer side."""
    return next((search for largest, search in SEARCHES.items() if size <= largest), SEARCHES[64])


def _best(
    start: Float[Tensor, "*batch 2"],
    anchors: Float[Tensor, "*batch n 2"],
    ranges: Float[Tensor, "*batch n"],
    search: Search,
) -> Points:
    """The first of the best candidates, row by row, relative to the square's middle.

    One row of candidates of all maps is weighed at a time, so that memory grows with `candidates`, not its square.
    """
    steps = torch.linspace(-search.side / 2, search.side / 2, search.candidates, dtype=start.dtype, device=start.device)
    x, y = (start[..., None, :] - anchors).unbind(-1)  # of the middle, from each anchor
    across = (steps[:, None] + x[..., None, :]).square()
    point, lowest = torch.zeros_like(start), torch.full_like(start[..., 0], torch.inf)
    for step in steps:
        distances = (across + (step + y).square()[..., None, :]).sqrt()
        error, column = (distances - ranges[..., None, :]).abs().sum(-1).min(-1)
        tried = torch.stack((steps[column], step.expand_as(error)), -1)
        point = torch.where((error < lowest)[..., None], tried, point)
        lowest = torch.minimum(error, lowest)
    return point


def popos(heatmaps: Heatmaps, *, sigma: float = 2.0) -> tuple[Points, Scores]:
    """Read the candidate `c` with the least `sum_k | |c - a_k| - d_k |` over the map's largest cells `a_k`.

    POPoS (AAAI 2025, arXiv 2410.09583), the peer that searches a point where KeyPosS solves for it: pseudoranges
    `d_k = sqrt(-2 sigma^2 ln p_k)`, and a square grid of candidates around `multilateration`'s point by 2 x 2 cells.
    How many cells, how wide a square and how many candidates follow from the size of the map, as in its released code:
    see `SEARCHES`. On maps of 64 candidates are half a cell apart, and the point is no better than that. Ranges are
    taken as true: an amplitude other than 1 moves the point.

    Not as released: the square is centred on its start, where that of the code lies half a nominal step, one pixel of
    256, further up and left; and the start is that of `multilateration`, whose window reaches the far borders and which
    clips nothing at 1.

    Args:
        heatmaps: distance maps.
        sigma: of the maps, in cells.

    Returns:
        Points in cells, and peaks clamped to [0, 1]; a map without a positive cell reads as its centre, 0. The gradient
        is that of the start.

    Raises:
        ValueError: if the map has no 2 x 2 cells.
    """
    h, w = heatmaps.shape[-2:]
    start, scores = multilateration(heatmaps, sigma=sigma)
    search = _search(max(h, w))
    largest, index = finite(precise(heatmaps.detach())).flatten(-2).topk(min(search.anchors, h * w))
    ranges = (-2 * sigma**2 * largest.clamp(LEAST, 1.0).log()).sqrt()
    anchors = torch.stack((index % w, index // w), -1).to(start.dtype)
    found = start + _best(start.detach(), anchors, ranges, search)
    return torch.where((scores > 0)[..., None], found, start), scores
