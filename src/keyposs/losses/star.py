"""The loss that forgives a landmark along the direction in which its place is ambiguous."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from keyposs.losses.moments import covariance, mean, normalised, probabilities

LEAST = 1e-6
"""The smallest variance, of sides of 2."""

ROUND = 1e-3
"""Relative difference of the variances below which no direction is preferred, and none is learned from."""


def star(
    output: Float[Tensor, "b k h w"],
    target: Float[Tensor, "b k h w"],
    points: Float[Tensor, "b k 2"],
    *,
    spread: float = 1.0,
    beta: float = 0.01,
) -> Float[Tensor, "b k"]:
    """The error of a map's mean along its principal axes, each divided by the map's own spread along it.

    Zhou et al., STAR Loss: Reducing Semantic Ambiguity in Facial Landmark Detection (CVPR 2023), eqs. 5 to 7, with
    coordinates from -1 to 1 over the map and smooth L1 as distance. Read with `centroid`.

    Args:
        output: predicted maps, of which the positive part counts.
        target: ignored.
        points: true points in cells.
        spread: weight of the sum of variances, without which a map would widen to be forgiven.
        beta: where the smooth L1 distance turns from a parabola into a line.
    """
    p = probabilities(output)
    centre = mean(p)
    variances, axes = eigen(covariance(p, centre))
    error = ((normalised(points, output) - centre)[..., None] * axes).sum(-2)
    distance = functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=beta)
    return (distance / (variances + 1e-5).sqrt()).sum(-1) + spread * variances.sum(-1)


def eigen(
    matrix: Float[Tensor, "*batch 2 2"],
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2 2"]]:
    """Eigenvalues (ascending, at least `LEAST`) and eigenvectors (columns) of symmetric 2 x 2 matrices, in closed form.

    With `matrix = [[a, b], [b, c]]` the larger value is `(a + c + r) / 2`, where `r^2 = (a - c)^2 + 4 b^2`, along the
    angle `atan2(2b, a - c) / 2`. Where the values (nearly) coincide any axes will do, and the angle has no gradient,
    which would be unbounded there.
    """
    a, b, c = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
    trace, along, across = a + c, a - c, 2 * b
    directed = along.square() + across.square() > (ROUND * trace).square() + LEAST**2
    along, across = (torch.where(directed, x, x.detach()) for x in (along, across))
    root, angle = torch.hypot(along, across), torch.atan2(across, along)
    cos, sin = (angle / 2).cos(), (angle / 2).sin()
    values = torch.stack((trace - root, trace + root), -1) / 2
    return values.clamp(min=LEAST), torch.stack((torch.stack((-sin, cos), -1), torch.stack((cos, sin), -1)), -2)
