import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from keyposs.losses import star
from keyposs.losses.moments import covariance, mean, probabilities
from keyposs.losses.star import LEAST, eigen

PARTS = st.floats(-1, 1)


def gaussian(x: float, y: float, across: float, down: float, side: int = 16) -> torch.Tensor:
    """A map (1, 1, side, side), in double precision, around a cell."""
    cells = torch.arange(side, dtype=torch.float64)
    return torch.exp(-((cells - x) ** 2 / across**2)[None] / 2 - ((cells - y) ** 2 / down**2)[:, None] / 2)[None, None]


@given(PARTS, PARTS, PARTS, st.floats(0.01, 1))
def test_the_closed_form_is_eigh(p: float, q: float, r: float, size: float) -> None:
    factor = size * torch.tensor([[p, q], [q + 0.1, r]], dtype=torch.float64)
    matrix = factor @ factor.T + 1e-5 * torch.eye(2, dtype=torch.float64)
    values, axes = eigen(matrix)
    expected, vectors = torch.linalg.eigh(matrix)
    torch.testing.assert_close(values, expected.clamp(min=LEAST))
    torch.testing.assert_close(axes @ axes.T, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(axes @ torch.diag(values) @ axes.T, matrix, rtol=1e-6, atol=1e-12)
    if expected[1] - expected[0] > 1e-3 * expected.sum():
        torch.testing.assert_close((axes * vectors).sum(0).abs(), torch.ones(2, dtype=torch.float64))


def test_the_gradient_is_that_of_eigh() -> None:
    factor = torch.randn(20, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gradients = []
    for solve in (eigen, torch.linalg.eigh):
        matrix = (factor @ factor.mT + 0.1 * torch.eye(2, dtype=torch.float64)).requires_grad_()
        values, axes = solve((matrix + matrix.mT) / 2)
        # of what does not depend on the signs of the axes
        ((values * weights[0, 0]).sum() + (axes.square() * weights[1]).sum()).backward()
        gradients.append(matrix.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    "maps",
    [torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8), torch.ones(1, 1, 1, 1), torch.eye(64)[0].view(1, 1, 8, 8)],
    ids=["empty", "flat", "one cell", "delta"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_degenerate_maps_stay_finite(maps: torch.Tensor, dtype: torch.dtype) -> None:
    output = maps.to(dtype, copy=True).requires_grad_()
    loss = star(output, maps, torch.tensor([[[300.0, -40.0]]])).sum()
    loss.backward()
    assert loss.isfinite()
    assert output.grad is not None
    assert output.grad.isfinite().all()


@given(st.integers(0, 10**6), st.sampled_from([1e-20, 1e-3, 1.0, 1e10]))
def test_no_map_gives_nan(seed: int, size: float) -> None:
    output = size * torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    output.requires_grad_()
    star(output, output.detach(), torch.full((2, 3, 2), 1.5)).sum().backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()


def test_by_hand_on_an_upright_ellipse() -> None:
    """Errors far beyond smooth L1's bend, along x and y, over the known spreads."""
    maps = gaussian(8, 7, 1.5, 0.75)
    point = torch.tensor([[[9.0, 9.0]]], dtype=torch.float64)
    scale = 2 / 16
    freedom = 1 - probabilities(maps).square().sum()
    variances = [(scale * s) ** 2 / freedom for s in (1.5, 0.75)]
    errors = [scale * 1, scale * 2]
    expected = sum((e - 0.005) / math.sqrt(v + 1e-5) + v for e, v in zip(errors, variances, strict=True))
    assert star(maps, maps, point).item() == pytest.approx(expected.item(), rel=1e-3)


def test_an_error_along_the_spread_costs_less() -> None:
    maps = gaussian(8, 8, 2, 0.7)
    along = star(maps, maps, torch.tensor([[[9.0, 8.0]]], dtype=torch.float64))
    against = star(maps, maps, torch.tensor([[[8.0, 9.0]]], dtype=torch.float64))
    assert along.item() < 0.6 * against.item()


def test_turning_map_and_error_together_changes_nothing() -> None:
    maps, point = gaussian(9, 6, 2, 1), torch.tensor([[[7.0, 8.0]]], dtype=torch.float64)
    turned, turned_point = maps.mT, point.flip(-1)
    torch.testing.assert_close(star(turned, turned, turned_point), star(maps, maps, point))


def test_moments_of_a_gaussian() -> None:
    p = probabilities(gaussian(7.2, 8.1, 1.5, 1.0))
    centre = mean(p)
    torch.testing.assert_close(
        centre, torch.tensor([[[2 * 7.7 / 16 - 1, 2 * 8.6 / 16 - 1]]], dtype=torch.float64), atol=1e-4, rtol=0
    )
    freedom = 1 - p.square().sum()
    spread = covariance(p, centre)[0, 0] * freedom * 8**2
    torch.testing.assert_close(spread, torch.tensor([[2.25, 0], [0, 1.0]], dtype=torch.float64), atol=1e-2, rtol=0)
