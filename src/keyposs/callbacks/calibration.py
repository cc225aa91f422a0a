"""The callback that makes the ellipses of a network hold what they say."""

import math
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.distributed import gather
from keyposs.module import LandmarkModule, Reading
from keyposs.types import Faces

HELD = 0.9
"""The share of points that the ellipses of this probability are to hold."""


class Calibration(pl.Callback):
    """Fits the scale of a codec's covariances to the errors of each validation, and so for each checkpoint.

    A network that learns its covariances learns them of training faces, where its errors are smaller. One factor for
    all standard deviations mends that: with it, the 90 % ellipse of a normal distribution holds 90 % of the points of
    `val`. It stands in the checkpoint as `codec.spread`. Before `ema` in the list of callbacks, it reaches the
    averaged weights, which are in place while it is called. Codecs that tell no covariances are left alone.

    Args:
        decoder: whose points the ellipses are drawn around.
    """

    def __init__(self, decoder: str) -> None:
        self.decoder = decoder

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: LandmarkModule) -> None:
        self.squares: list[np.ndarray] = []

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: LandmarkModule, outputs: Reading, batch: Faces, *_: Any
    ) -> None:
        told = module.codec.told(outputs.output)
        if told is not None:
            points, _ = outputs.decoded[self.decoder]
            squares = mahalanobis(points - batch.keypoints, told)
            self.squares.append(torch.where(batch.visible, squares, torch.nan).cpu().numpy().ravel())

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: LandmarkModule) -> None:
        of_all = gather(self.squares)
        squares = np.concatenate([np.zeros(0), *of_all])
        if np.isfinite(squares).any():
            module.codec.spread.fill_(spread(squares[np.isfinite(squares)]))
            module.codec.calibrated = self.decoder


def mahalanobis(errors: Float[Tensor, "*batch 2"], covariances: Float[Tensor, "*batch 2 2"]) -> Float[Tensor, "*batch"]:
    """Squared errors in standard deviations, `e^T C^-1 e`."""
    (a, b), (_, c) = (row.unbind(-1) for row in covariances.unbind(-2))
    x, y = errors.unbind(-1)
    return (c * x**2 - 2 * b * x * y + a * y**2) / (a * c - b * b)


def spread(squares: Float[np.ndarray, " n"], held: float = HELD) -> float:
    """What standard deviations are to be multiplied by, so that ellipses of probability `held` hold that share.

    Args:
        squares: of the errors in standard deviations, see `mahalanobis`.
        held: the ellipse of a normal distribution's probability `p` ends at the square `-2 ln(1 - p)`.

    >>> radius = np.sqrt(-2 * np.log(1 - np.linspace(0, 1, 100_001)[:-1]))  # of a normal distribution
    >>> round(spread((3 * radius) ** 2), 2)
    3.0
    """
    return math.sqrt(float(np.quantile(squares, held)) / (-2 * math.log(1 - held)))
