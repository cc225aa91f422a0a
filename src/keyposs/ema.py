"""The running average of the weights that validation, test and checkpoints use."""

import torch
from torch import Tensor


@torch.no_grad()
def ema(averaged: list[Tensor], current: list[Tensor], steps: Tensor | int, *, decay: float = 0.99) -> None:
    """Moves the average towards the current weights, in place; a `multi_avg_fn` of torch's `AveragedModel`.

    Early on the average is short, `min(decay, (1 + n) / (10 + n))`, so that it soon forgets the random start.

    Args:
        averaged: tensors of one device and dtype, changed.
        current: the model's, likewise; integer buffers are copied.
        steps: how many averages were taken.
        decay: of a long run; 0.99 looks back over about 100 steps.
    """
    if not averaged[0].is_floating_point():
        for mean, value in zip(averaged, current, strict=True):
            mean.copy_(value)
        return
    n = float(steps)
    torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))
