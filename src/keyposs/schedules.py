"""Learning rate against training progress: pure functions, bound to a number of steps by the module."""

import math
from collections.abc import Callable, Sequence

from keyposs.errors import KeyposError

Schedule = Callable[[int, int, int], float]
"""`schedule(step, steps, steps_per_epoch)` gives the factor on the base learning rate."""


def cosine(step: int, steps: int, steps_per_epoch: int, *, warmup: float = 5, final: float = 0.005) -> float:
    """Linear warm-up over `warmup` epochs, then half a cosine from 1 down to `final`.

    >>> [round(cosine(step, 100, 10, warmup=1), 3) for step in (0, 9, 55, 100)]
    [0.1, 1.0, 0.502, 0.005]
    """
    start = _warmup_steps(steps, steps_per_epoch, warmup)
    if step < start:
        return (step + 1) / start
    progress = (step - start) / max(1, steps - start)
    return final + (1 - final) * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def multi_step(
    step: int,
    steps: int,
    steps_per_epoch: int,
    *,
    warmup: float = 5,
    milestones: Sequence[float] = (40, 55),
    gamma: float = 0.1,
) -> float:
    """Linear warm-up, then a factor `gamma` at each of the `milestones`, in epochs (KeyPosS: 40 and 55).

    >>> [round(multi_step(epoch * 10, 600, 10, warmup=0), 3) for epoch in (0, 39, 40, 55)]
    [1.0, 1.0, 0.1, 0.01]
    """
    start = _warmup_steps(steps, steps_per_epoch, warmup)
    if step < start:
        return (step + 1) / start
    return float(gamma ** sum(step >= milestone * steps_per_epoch for milestone in milestones))


def _warmup_steps(steps: int, steps_per_epoch: int, warmup: float) -> int:
    """The warm-up in steps, never more than a tenth of a short run."""
    return min(round(warmup * steps_per_epoch), steps // 10)


def scaled_for(world: int, rule: str) -> float:
    """The factor on the learning rate for `world` devices, each with a batch of its own.

    `linear` keeps SGD's path (Goyal et al. 2017), `sqrt` that of Adam and its kin (Malladi et al. 2022).

    Raises:
        KeyposError: if the rule is none of `none`, `sqrt` and `linear`.

    >>> [scaled_for(4, rule) for rule in ("none", "sqrt", "linear")]
    [1.0, 2.0, 4.0]
    """
    powers = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}
    if rule not in powers:
        raise KeyposError(f"lr_scaling={rule}", "is unknown", f"choose one of {', '.join(powers)}")
    return float(world ** powers[rule])
