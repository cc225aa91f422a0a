"""Ellipses that hold what they say, of a codec that told too small ones."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from scipy import stats
from torch import Tensor, nn

from keyposs.callbacks import Calibration
from keyposs.callbacks.calibration import mahalanobis, spread
from keyposs.codecs import Cascade, Codec, Coordinates, Regression
from keyposs.markup import MARKUP_68
from keyposs.module import LandmarkModule, Reading
from keyposs.types import Faces

SIDE = 100


def faces(keypoints: Tensor, visible: Tensor) -> Faces:
    n = len(keypoints)
    image, box, matrix = torch.zeros(n, 3, 8, 8), torch.zeros(n, 4), torch.eye(3)[:2].repeat(n, 1, 1)
    return Faces(image, keypoints, visible, visible, box, torch.ones(n), [("all",)] * n, matrix, [""] * n)


def calibrated(codec: Codec, errors: Tensor, deviations: Tensor, visible: Tensor) -> float:
    """The spread after a validation in three batches, whose points are off by these errors, in pixels."""
    callback, module = Calibration(codec.names[0]), LandmarkModule(nn.Identity(), codec, None, None, {}, MARKUP_68)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    callback.on_validation_epoch_start(trainer, module)
    for error, deviation, seen in zip(*(x.chunk(3) for x in (errors, deviations, visible)), strict=True):
        truth = torch.full_like(error, 50)
        output = codec.encode(truth + error)
        if isinstance(output, Regression):  # whose scales are 0
            output = Regression(output.points, deviation[None] / 2**0.5 / SIDE)
        reading = Reading(torch.zeros(()), output, codec.decode(output))
        callback.on_validation_batch_end(trainer, module, reading, faces(truth, seen), 0)
    callback.on_validation_epoch_end(trainer, module)
    return float(codec.spread)


def drawn(times: float, tails: float = 0.0, n: int = 300) -> tuple[Tensor, Tensor, Tensor]:
    """Errors, standard deviations told for each axis that are so many times too small, and all points visible."""
    generator = torch.Generator().manual_seed(0)
    deviations = 0.5 + torch.rand(n, 68, 2, generator=generator)
    errors = deviations * torch.randn(n, 68, 2, generator=generator)
    errors *= torch.rand(n, 68, 1, generator=generator) ** -tails
    return errors, deviations / times, torch.ones(n, 68, dtype=torch.bool)


@pytest.mark.parametrize("times", [0.3, 1.0, 4.0])
def test_the_spread_of_normal_errors_is_found(times: float) -> None:
    assert calibrated(Coordinates(SIDE), *drawn(times)) == pytest.approx(times, rel=0.02)


def test_ninety_percent_are_held_whatever_the_distribution() -> None:
    errors, deviations, visible = drawn(2.0, tails=0.3)
    squares = (errors / deviations).square().sum(-1) / calibrated(Coordinates(SIDE), errors, deviations, visible) ** 2
    assert (squares < stats.chi2(2).ppf(0.9)).double().mean().item() == pytest.approx(0.9, abs=1e-3)


def test_points_that_are_not_annotated_do_not_count() -> None:
    errors, deviations, visible = drawn(2.0)
    expected = calibrated(Coordinates(SIDE), *(x[:, :30] for x in (errors, deviations, visible)))
    errors[:, 30:], visible[:, 30:] = torch.nan, False
    assert calibrated(Coordinates(SIDE), errors, deviations, visible) == pytest.approx(expected, rel=1e-6)


def test_a_codec_that_tells_none_is_left_alone() -> None:
    assert calibrated(Cascade(SIDE, (2, 1, 0)), *drawn(1.0)) == 1


def test_squares_are_those_of_the_inverse() -> None:
    root = torch.randn(50, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    errors = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = np.einsum("ni,nij,nj->n", errors, np.linalg.inv(root @ root.mT), errors)
    np.testing.assert_allclose(mahalanobis(errors, root @ root.mT), expected, rtol=1e-6)


@pytest.mark.parametrize("held", [0.5, 0.9, 0.99])
def test_the_radius_is_that_of_chi_squared(held: float) -> None:
    squares = stats.chi2(2).ppf((np.arange(100001) + 0.5) / 100001)
    assert spread(4 * squares, held) == pytest.approx(2, rel=1e-3)
