"""Losses between points, all in sides of the crop, that also fit the scale told for each coordinate."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from keyposs.errors import KeyposError

LEAST_SCALE = 1e-4
"""Scales below it count as this: 0.03 pixels of 256."""

Values = Float[Tensor, "*batch k 2"]


def laplace(points: Values, keypoints: Values, scale: Values) -> Values:
    """Negative log-likelihood of a Laplace distribution, `log 2b + |e| / b`, for each coordinate.

    Args:
        points: predicted, in sides of the crop.
        keypoints: true ones.
        scale: `b`, the mean of `|e|` that is expected.
    """
    scale = scale.clamp(min=LEAST_SCALE)
    return torch.log(2 * scale) + (points - keypoints).abs() / scale


def wing(
    points: Values,
    keypoints: Values,
    scale: Values,
    *,
    omega: float = 10.0,
    epsilon: float = 2.0,
    side: float = 256.0,
) -> Values:
    """Wing loss (Feng et al., CVPR 2018, eq. 5): `omega log(1 + |e| / epsilon)` up to `omega`, a line beyond.

    Args:
        points: predicted, in sides of the crop.
        keypoints: true ones.
        scale: fitted beside it.
        omega: where the line begins, in pixels.
        epsilon: the curve's width, in pixels.
        side: of the crop whose pixels these are.
    """
    error = side * (points - keypoints).abs()
    near = omega * torch.log1p(error.clamp(max=omega) / epsilon)
    return near + (error - omega).clamp(min=0) + _scale_fit(points, keypoints, scale)


def smooth_l1(points: Values, keypoints: Values, scale: Values, *, beta: float = 0.01) -> Values:
    """Smooth L1 in units of `beta`: `(e / beta)^2 / 2` up to `beta`, the line `|e| / beta - 1/2` beyond.

    Args:
        points: predicted, in sides of the crop.
        keypoints: true ones.
        scale: fitted beside it.
        beta: where the line begins, in sides of the crop.

    Raises:
        KeyposError: if it is not positive.
    """
    if beta <= 0:
        raise KeyposError(f"loss.beta={beta}", "is not positive", "leave it out")
    values = functional.smooth_l1_loss(points, keypoints, reduction="none", beta=beta) / beta
    return values + _scale_fit(points, keypoints, scale)


def _scale_fit(points: Values, keypoints: Values, scale: Values) -> Values:
    """Fits the scale to the errors and leaves the points alone, for losses that have no use for a scale."""
    return laplace(points.detach(), keypoints, scale)
