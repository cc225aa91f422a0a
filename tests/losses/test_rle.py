"""RLE's flow as a density, and its loss against closed forms."""

import math

import pytest
import torch
from torch import nn

from keyposs.losses import RLE, laplace
from keyposs.losses.rle import FARTHEST, RealNVP


def bent(seed: int = 0) -> RealNVP:
    """A flow far from its start."""
    torch.manual_seed(seed)
    flow = RealNVP(layers=4, width=16).double()
    for coupling in flow.couplings:
        nn.init.normal_(coupling.net[-1].weight, std=0.3)
        nn.init.normal_(coupling.net[-1].bias, std=0.3)
    return flow


@pytest.fixture
def rle() -> RLE:
    torch.manual_seed(0)
    return RLE()


@torch.no_grad()
@pytest.mark.parametrize("seed", [0, 1])
def test_the_density_integrates_to_one(seed: int) -> None:
    axis = torch.linspace(-25, 25, 401, dtype=torch.float64)
    flow, plane = bent(seed), torch.cartesian_prod(axis, axis)
    density = flow.log_density(plane).exp()
    assert density.sum().item() * 0.125**2 == pytest.approx(1, abs=1e-3)
    normal = torch.exp(-plane.square().sum(-1) / 2) / (2 * math.pi)
    assert (density - normal).abs().max() > 0.02  # it is bent indeed


def test_to_and_from_the_normal_undo_each_other() -> None:
    flow, x = bent(), torch.randn(50, 2, dtype=torch.float64)
    torch.testing.assert_close(flow.from_normal(flow.to_normal(x)[0]), x)


def test_the_determinant_is_that_of_the_jacobian() -> None:
    flow = bent()
    for x in torch.randn(5, 2, dtype=torch.float64):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow.to_normal(x)[0], x)
        assert flow.to_normal(x)[1].item() == pytest.approx(jacobian.det().abs().log().item())


def test_the_loss_by_its_formula_where_the_flow_is_the_normal_itself(rle: RLE) -> None:
    for coupling in rle.flow.couplings:
        nn.init.zeros_(coupling.net[-1].weight)
    points, keypoints = torch.tensor([[[0.5, 0.4]]]), torch.tensor([[[0.47, 0.42]]])
    scale = torch.tensor([[[0.02, 0.05]]])
    ex, ey, half = 0.03 / 0.02, 0.02 / 0.05, math.log(2 * math.pi) / 2 + (1.5**2 + 0.4**2) / 4
    expected = [math.log(b) + half + math.log(2 * b) + e for e, b in ((ex, 0.02), (ey, 0.05))]
    torch.testing.assert_close(rle(points, keypoints, scale), torch.tensor([[expected]]))


def test_both_coordinates_sum_to_two_densities_of_the_point() -> None:
    """The flow's density of the error in pixels and Laplace's: each has an integral of 1."""
    loss = RLE(layers=4, width=16)
    loss.flow = bent()
    scale = torch.tensor([[[0.3, 0.5]]], dtype=torch.float64)
    axis = torch.linspace(-9, 9, 301, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)[:, None]
    with torch.no_grad():
        laplaces = laplace(points, torch.zeros_like(points), scale.expand_as(points))
        flows = loss(points, torch.zeros_like(points), scale.expand_as(points)) - laplaces
    assert torch.exp(-flows.sum(-1)).sum().item() * 0.06**2 == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", ["laplace", "normal", "uniform"])
def test_the_scale_comes_to_the_mean_error_whatever_its_distribution(kind: str) -> None:
    torch.manual_seed(0)
    size = (512, 1, 2)
    laplaces = torch.distributions.Laplace(0, 1).sample(size)
    error = 0.03 * {"laplace": laplaces, "normal": torch.randn(size), "uniform": 4 * torch.rand(size) - 2}[kind]
    loss, logit = RLE(layers=4, width=16), nn.Parameter(torch.tensor(-2.0))
    optimizer = torch.optim.Adam([*loss.parameters(), logit], lr=5e-2)
    for _ in range(120):
        optimizer.zero_grad()
        loss(error, torch.zeros_like(error), logit.sigmoid().expand_as(error)).mean().backward()
        optimizer.step()
    assert logit.sigmoid().item() == pytest.approx(error.abs().mean().item(), rel=0.1)


def test_every_parameter_of_the_flow_learns(rle: RLE) -> None:
    error = 0.1 * torch.randn(8, 5, 2)
    rle(error, torch.zeros_like(error), torch.full_like(error, 0.1)).mean().backward()
    assert [name for name, p in rle.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_gradients_in_double() -> None:
    torch.manual_seed(0)
    loss = RLE(layers=2, width=8)
    loss.flow = bent()
    points, keypoints = torch.rand(2, 1, 4, 2, dtype=torch.float64).requires_grad_()
    scale = torch.rand(1, 4, 2, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(loss, (points, keypoints, scale))


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-4, 1.0])
@pytest.mark.parametrize("error", [0.0, 1e-30, 1.0, -1e30])
def test_extremes_are_finite_forward_and_backward(rle: RLE, error: float, scale: float) -> None:
    points = torch.full((1, 1, 2), error, requires_grad=True)
    scale = torch.full((1, 1, 2), scale, requires_grad=True)
    out = rle(points, torch.zeros(1, 1, 2), scale)
    out.sum().backward()
    gradients = [points.grad, scale.grad, *(p.grad for p in rle.parameters())]
    assert out.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_an_outlier_pulls_by_a_line(rle: RLE) -> None:
    slopes = []
    for far in (2 * FARTHEST, 20 * FARTHEST):
        points = torch.full((1, 1, 2), 0.01 * far, requires_grad=True)
        rle(points, torch.zeros(1, 1, 2), torch.full((1, 1, 2), 0.01)).sum().backward()
        slopes.append(points.grad)
    torch.testing.assert_close(slopes, [torch.full((1, 1, 2), 100.0)] * 2)


def test_float32_under_autocast(rle: RLE) -> None:
    error = 0.1 * torch.randn(8, 5, 2)
    scale = torch.full_like(error, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = rle(error, torch.zeros_like(error), scale)
    assert out.equal(rle(error, torch.zeros_like(error), scale))
