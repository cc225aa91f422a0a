"""Losses of coordinates against torch's distributions and the papers' formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from keyposs.losses import laplace, smooth_l1, wing
from keyposs.losses.coordinates import LEAST_SCALE

ERRORS = st.floats(-0.5, 0.5)
SCALES = st.floats(1e-3, 1)
ALL = pytest.mark.parametrize("loss", [laplace, wing, smooth_l1])


def values(*numbers: float) -> list[torch.Tensor]:
    return [torch.full((1, 1, 2), number, dtype=torch.float64) for number in numbers]


@given(ERRORS, SCALES)
def test_laplace_is_torchs(error: float, scale: float) -> None:
    expected = -torch.distributions.Laplace(0.3, scale).log_prob(torch.tensor(0.3 + error, dtype=torch.float64))
    assert laplace(*values(0.3 + error, 0.3, scale))[0, 0, 0].item() == pytest.approx(
        expected.item(), rel=1e-5, abs=1e-5
    )


@given(ERRORS, SCALES)
def test_wing_by_its_formula(error: float, scale: float) -> None:
    x, w, epsilon = 256 * abs(error), 10, 2
    expected = w * math.log(1 + x / epsilon) if x < w else x - (w - w * math.log(1 + w / epsilon))
    expected += math.log(2 * scale) + abs(error) / scale
    assert wing(*values(error, 0, scale))[0, 0, 1].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(ERRORS, SCALES)
def test_smooth_l1_by_its_formula(error: float, scale: float) -> None:
    x = abs(error) / 0.01
    expected = x**2 / 2 if x < 1 else x - 0.5
    expected += math.log(2 * scale) + abs(error) / scale
    assert smooth_l1(*values(0.2, 0.2 + error, scale))[0, 0, 1].item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("loss", "knee"), [(wing, 10 / 256), (smooth_l1, 0.01)])
def test_no_step_at_the_knee(loss, knee: float) -> None:
    below, above = (loss(*values(knee + step, 0, 1))[0, 0, 0].item() for step in (-1e-9, 1e-9))
    assert below == pytest.approx(above, abs=1e-6)


def test_wing_in_pixels_of_another_crop() -> None:
    assert wing(*values(0.05, 0, 1), side=512, omega=20, epsilon=4) == pytest.approx(
        2 * wing(*values(0.05, 0, 1)) - laplace(*values(0.05, 0, 1))
    )


@pytest.mark.parametrize("loss", [wing, smooth_l1])
def test_a_loss_without_a_scale_fits_it_and_is_not_moved_by_it(loss) -> None:
    """The points' gradient does not know the scale; the scale's is that of the Laplace likelihood."""
    gradients = []
    for b in (0.01, 0.7):
        points, keypoints, scale = values(0.4, 0.37, b)
        points.requires_grad_()
        scale.requires_grad_()
        loss(points, keypoints, scale).sum().backward()
        gradients.append(points.grad)
        assert scale.grad[0, 0, 0].item() == pytest.approx(1 / b - 0.03 / b**2)
    assert gradients[0].equal(gradients[1])
    assert gradients[0].min() > 0


@ALL
@pytest.mark.parametrize("scale", [0.0, 1e-30, LEAST_SCALE, 1.0, 1e30])
@pytest.mark.parametrize("error", [0.0, 1e-30, 1.0, -1e30])
def test_extremes_are_finite_forward_and_backward(loss, error: float, scale: float) -> None:
    points, keypoints, scale = (x.float() for x in values(error, 0, scale))
    points.requires_grad_()
    scale.requires_grad_()
    out = loss(points, keypoints, scale)
    out.sum().backward()
    assert out.isfinite().all()
    assert points.grad.isfinite().all()
    assert scale.grad.isfinite().all()


def test_gradients_in_double() -> None:
    generator = torch.Generator().manual_seed(0)
    points, keypoints = torch.rand(2, 1, 6, 2, generator=generator, dtype=torch.float64).requires_grad_()
    scale = torch.rand(1, 6, 2, generator=generator, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(laplace, (points, keypoints, scale))
