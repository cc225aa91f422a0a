"""Losses between maps, one value per landmark's map, averaged over the visible ones."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

Loss = Callable[..., Float[Tensor, "*shape"]]
"""Element-wise: `loss(output, target)` of two tensors of one shape gives a tensor of that shape."""


def mse(output: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Squared error."""
    return (output - target).square()


def huber(
    output: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, delta: float = 0.6
) -> Float[Tensor, "*shape"]:
    """Huber's loss: quadratic up to `delta`, linear beyond (KeyPosS trains COFW and COCO with 0.6)."""
    return functional.huber_loss(output, target, reduction="none", delta=delta)


def awing(
    output: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    alpha: float = 2.1,
    omega: float = 14.0,
    epsilon: float = 1.0,
    theta: float = 0.5,
) -> Float[Tensor, "*shape"]:
    """Adaptive Wing loss (Wang et al., ICCV 2019, eqs. 3 and 4): steep near the peak, lenient in the background.

    Args:
        output: the predicted map.
        target: the true map, in [0, 1].
        alpha: exponent `alpha - y`; above 2 keeps the background's gradient smooth.
        omega: height of the curved part.
        epsilon: width of the curved part.
        theta: the error at which the curve turns into a line.
    """
    error = (output - target).abs()
    power = alpha - target
    ratio = theta / epsilon
    slope = omega / (1 + ratio**power) * power * ratio ** (power - 1) / epsilon
    offset = theta * slope - omega * torch.log1p(ratio**power)
    # The unused branch must not overflow, or its gradient turns the used one into NaN.
    near = omega * torch.log1p((error.clamp(max=theta) / epsilon) ** power)
    return torch.where(error < theta, near, slope * error - offset)


def visible_mean(values: Float[Tensor, "b k *map"], visible: Bool[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Mean over the maps of visible landmarks; 0, with a gradient of 0, where none is visible."""
    per_map = values.flatten(2).mean(-1)
    return torch.where(visible, per_map, 0).sum() / visible.sum().clamp(min=1)
