"""Losses that compare maps cell by cell. They take the true points like all losses of maps, and ignore them."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from keyposs.errors import KeyposError


def mse(
    output: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], points: Tensor | None = None
) -> Float[Tensor, "*shape"]:
    """Squared error."""
    return (output - target).square()


def huber(
    output: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    points: Tensor | None = None,
    *,
    delta: float = 0.6,
) -> Float[Tensor, "*shape"]:
    """Huber's loss: quadratic up to `delta`, linear beyond (KeyPosS trains COFW and COCO with 0.6)."""
    return functional.huber_loss(output, target, reduction="none", delta=delta)


def awing(
    output: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    points: Tensor | None = None,
    *,
    weight: float = 0.0,
    alpha: float = 2.1,
    omega: float = 14.0,
    epsilon: float = 1.0,
    theta: float = 0.5,
) -> Float[Tensor, "*shape"]:
    """Adaptive Wing loss (Wang et al., ICCV 2019, eqs. 3 and 4): steep near the peak, lenient in the background.

    Args:
        output: the predicted map.
        target: the true map, in [0, 1].
        points: ignored.
        weight: how much more the cells near the peak count (weighted loss map, eqs. 7 and 8; published: 10).
        alpha: exponent `alpha - y`; above 2 keeps the background's gradient smooth.
        omega: height of the curved part.
        epsilon: width of the curved part.
        theta: the error at which the curve turns into a line.

    Raises:
        KeyposError: if the weight is negative.
    """
    if weight < 0:
        raise KeyposError(f"loss.weight={weight}", "is negative", "use 10, as published, or 0")
    error = (output - target).abs()
    power = alpha - target
    ratio = theta / epsilon
    slope = omega / (1 + ratio**power) * power * ratio ** (power - 1) / epsilon
    offset = theta * slope - omega * torch.log1p(ratio**power)
    # The unused branch must not overflow, or its gradient turns the used one into NaN.
    near = omega * torch.log1p((error.clamp(max=theta) / epsilon) ** power)
    values = torch.where(error < theta, near, slope * error - offset)
    return values * (1 + weight * near_peak(target)) if weight else values


def near_peak(target: Float[Tensor, "*batch h w"], threshold: float = 0.2) -> Float[Tensor, "*batch h w"]:
    """1 in the cells where a target map is at least `threshold`, and in their neighbours; else 0."""
    inside = (target >= threshold).to(target).flatten(0, -3)
    return functional.max_pool2d(inside[:, None], kernel_size=3, stride=1, padding=1).view_as(target)
