"""Training of maps by the coordinates of their means."""

import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.losses.moments import TINY, mean, normalised, probabilities


def dsnt(
    output: Float[Tensor, "b k h w"],
    target: Float[Tensor, "b k h w"],
    points: Float[Tensor, "b k 2"],
    *,
    divergence: float = 1.0,
) -> Float[Tensor, "b k"]:
    """Distance of a map's mean from the truth, and how far the map is from a Gaussian around it.

    Nibali et al., Numerical Coordinate Regression with Convolutional Neural Networks (2018), eqs. 4 to 8, whose
    coordinates run from -1 to 1 over the map. Read with `centroid`; with `divergence=0` it is the integral regression
    of Sun et al. (ECCV 2018).

    Args:
        output: predicted maps, of which the positive part counts.
        target: true maps.
        points: true points in cells; they may lie off the map, where only the distance counts.
        divergence: weight of the Jensen-Shannon divergence from the target.
    """
    p = probabilities(output)
    distance: Tensor = torch.linalg.vector_norm(mean(p) - normalised(points, output), dim=-1)
    if not divergence:
        return distance
    q = probabilities(target)
    drawn = target.flatten(-2).amax(-1) > 1e-3  # else the landmark lies far off the map
    return distance + divergence * torch.where(drawn, _jensen_shannon(p, q), 0)


def _jensen_shannon(p: Float[Tensor, "b k h w"], q: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k"]:
    middle = ((p + q) / 2 + TINY).log()
    terms = p * ((p + TINY).log() - middle) + q * ((q + TINY).log() - middle)
    total: Tensor = terms.sum((-2, -1)) / 2
    return total
