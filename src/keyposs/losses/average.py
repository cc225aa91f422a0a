"""From values per landmark to one loss."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from keyposs.errors import KeyposError

Loss = Callable[..., Float[Tensor, "b k *rest"]]
"""Values per landmark, see `keyposs.losses`."""


def visible_mean(values: Float[Tensor, "b k *rest"], visible: Bool[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Mean over the values of visible landmarks; 0, with a gradient of 0, where none is visible."""
    of_landmark = values.flatten(2).mean(-1) if values.ndim > 2 else values
    return torch.where(visible, of_landmark, 0).sum() / visible.sum().clamp(min=1)


def check_loss(loss: Loss, *example: Tensor, fitting: str) -> None:
    """Makes sure that a loss takes what a codec will call it with.

    Args:
        loss: values per landmark.
        example: of its arguments, the first of shape (b, k, ...).
        fitting: the losses that do, for the error's remedy.

    Raises:
        KeyposError: if it does not.
    """
    try:
        fits = loss(*example).shape[:2] == example[0].shape[:2]
    except KeyposError:  # says itself what is wrong
        raise
    except Exception:  # of shapes or arguments, whose kinds are as many as losses
        fits = False
    if not fits:
        raise KeyposError(
            f"loss={name_of(loss)}", "is not of the kind that this codec trains with", f"choose from {fitting}"
        )


def name_of(loss: Loss) -> str:
    """How a loss is chosen on the command line: its function's name, or its class's in small letters."""
    function = getattr(loss, "func", loss)
    return getattr(function, "__name__", type(function).__name__.lower())
