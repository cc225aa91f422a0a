import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from keyposs.losses import awing, huber, mse, visible_mean

UNIT = st.floats(0, 1)
ANY = st.floats(-3, 3)


@given(ANY, UNIT)
def test_mse_and_huber_by_hand(output: float, target: float) -> None:
    error = abs(output - target)
    x, y = torch.tensor([output], dtype=torch.float64), torch.tensor([target], dtype=torch.float64)
    assert mse(x, y).item() == pytest.approx(error**2)
    expected = error**2 / 2 if error < 0.6 else 0.6 * (error - 0.3)
    assert huber(x, y).item() == pytest.approx(expected, abs=1e-12)


@given(ANY, UNIT)
def test_awing_by_the_papers_formula(output: float, target: float) -> None:
    alpha, omega, epsilon, theta = 2.1, 14, 1, 0.5
    error, power = abs(output - target), alpha - target
    if error < theta:
        expected = omega * math.log(1 + (error / epsilon) ** power)
    else:
        A = omega / (1 + (theta / epsilon) ** power) * power * (theta / epsilon) ** (power - 1) / epsilon
        C = theta * A - omega * math.log(1 + (theta / epsilon) ** power)
        expected = A * error - C
    x, y = torch.tensor([output], dtype=torch.float64), torch.tensor([target], dtype=torch.float64)
    assert awing(x, y).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_awing_weighs_the_cells_near_the_peak_by_the_papers_map() -> None:
    cells = torch.arange(12.0)
    target = torch.exp(-((cells[:, None] - 4) ** 2 + (cells - 7) ** 2) / 2)[None, None].expand(2, 3, -1, -1)
    output = torch.rand(target.shape, generator=torch.Generator().manual_seed(0))
    binary = (target[0, 0] >= 0.2).numpy()
    mask = 1 + 10 * torch.from_numpy(binary_dilation(binary, np.ones((3, 3))))
    assert torch.allclose(awing(output, target, weight=10), mask * awing(output, target))
    assert 0 < binary.sum() < mask.gt(1).sum() < 50


@pytest.mark.parametrize("faces", [0, 1])
def test_awing_of_no_face_is_empty(faces: int) -> None:
    maps = torch.rand(faces, 3, 12, 12)
    assert awing(maps, maps, weight=10).shape == maps.shape
    assert visible_mean(awing(maps, maps, weight=10), torch.ones(faces, 3, dtype=torch.bool)).item() == 0


@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_awing_is_smooth_where_its_halves_meet(target: float) -> None:
    y = torch.full((2,), target, dtype=torch.float64)
    x = (y + 0.5 + torch.tensor([-1e-9, 1e-9], dtype=torch.float64)).requires_grad_()
    values = awing(x, y)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    assert values[0].item() == pytest.approx(values[1].item(), abs=1e-6)
    assert gradient[0].item() == pytest.approx(gradient[1].item(), rel=1e-6)


@pytest.mark.parametrize("loss", [mse, huber, awing])
def test_gradients_are_finite_everywhere(loss: object) -> None:
    output = torch.tensor([0.0, 1.0, 1e4, -1e4, 0.5], requires_grad=True)
    loss(output, torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0])).sum().backward()  # type: ignore[operator]
    assert output.grad is not None
    assert output.grad.isfinite().all()


def test_only_visible_maps_count() -> None:
    values = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    visible = torch.tensor([[True, False, False], [False, True, False]])
    expected = (values[0, 0].mean() + values[1, 1].mean()).item() / 2
    assert visible_mean(values, visible).item() == pytest.approx(expected)


def test_no_visible_map_gives_no_loss_and_no_nan() -> None:
    values = torch.full((1, 2, 3, 3), torch.inf, requires_grad=True)
    loss = visible_mean(values, torch.zeros(1, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert values.grad is not None
    assert (values.grad == 0).all()
