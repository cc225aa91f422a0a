"""The likelihood of a fix: against normal equations, scipy's densities, and at the ends of what maps can be."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from keyposs.codecs import DistanceMap
from keyposs.decoders import one_hot, pseudorange, uncertainty
from keyposs.errors import KeyposError
from keyposs.grid import Grid
from keyposs.losses import EndToEnd


def logs_of(x: float, y: float, amplitude: float = 1.0, side: int = 6, sigma: float = 1.5) -> Tensor:
    """Logarithms of a distance map (1, 1, side, side), in double precision, a little off the formula."""
    cells = torch.arange(side, dtype=torch.float64)
    exact = math.log(amplitude) - ((cells - x) ** 2 + (cells[:, None] - y) ** 2) / (2 * sigma**2)
    generator = torch.Generator().manual_seed(0)
    return (exact + 0.1 * torch.randn(side, side, generator=generator, dtype=torch.float64))[None, None]


def test_it_is_the_density_of_an_elliptical_laplace_distribution() -> None:
    """With the covariance of `uncertainty`, around the point of `pseudorange`."""
    maps, truth = logs_of(2.2, 3.1, 0.7).exp(), torch.tensor([[[2.9, 2.6]]], dtype=torch.float64)
    found = EndToEnd(sigma=1.5, noise=0.2).double().surprise(maps, truth)
    error = (pseudorange(maps, sigma=1.5, kernel=None)[0] - truth)[0, 0].numpy()
    covariance = uncertainty(maps, sigma=1.5, kernel=None, noise=0.2)[0, 0].numpy()
    squared = error @ np.linalg.inv(covariance) @ error
    expected = math.sqrt(3 * squared + 1e-3) + math.log(np.linalg.det(covariance)) / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_that_distribution_has_this_covariance() -> None:
    """`exp(-sqrt(3) r)` in the plane: its radius has the density `3 r exp(-sqrt(3) r)`, and a mean square of 2."""
    radius = torch.linspace(0, 40, 400001, dtype=torch.float64)
    density = 3 * radius * torch.exp(-math.sqrt(3) * radius)
    assert torch.trapezoid(density, radius).item() == pytest.approx(1, abs=1e-6)
    assert torch.trapezoid(density * radius**2, radius).item() == pytest.approx(2, abs=1e-6)


def test_the_right_noise_is_the_likeliest() -> None:
    """Points that lie where such a distribution puts them cost least with its own noise."""
    generator = torch.Generator().manual_seed(0)
    maps = logs_of(2.2, 3.1).exp().expand(1, 20000, 6, 6)
    centre, covariance = (
        pseudorange(maps, sigma=1.5, kernel=None)[0],
        uncertainty(maps, sigma=1.5, kernel=None, noise=0.1),
    )
    # of such a distribution: a radius drawn from the gamma distribution of the test above, in any direction
    radius = -torch.rand(2, 20000, generator=generator, dtype=torch.float64).log().sum(0) / math.sqrt(3)
    angle = 2 * math.pi * torch.rand(20000, generator=generator, dtype=torch.float64)
    white = radius[:, None] * torch.stack((angle.cos(), angle.sin()), -1)
    truth = centre + torch.einsum("bkij,kj->bki", torch.linalg.cholesky(covariance), white)
    cost = {n: EndToEnd(sigma=1.5, noise=n).double().surprise(maps, truth).mean().item() for n in (0.08, 0.1, 0.125)}
    assert min(cost, key=cost.__getitem__) == 0.1


@pytest.mark.parametrize(
    ("x", "y", "amplitude"),
    [(2.2, 3.1, 1.0), (-0.5, 5.4, 1.0), (7.0, -1.5, 0.8), (2.2, 3.1, 1e-12), (2.0, 2.0, 40.0)],
    ids=["interior", "border", "off the map", "nearly empty", "above 1"],
)
def test_gradients_are_those_of_the_loss(x: float, y: float, amplitude: float) -> None:
    loss, truth = EndToEnd(sigma=1.5).double(), torch.tensor([[[2.5, 2.5]]], dtype=torch.float64)
    logs = logs_of(x, y, amplitude).requires_grad_()
    assert torch.autograd.gradcheck(lambda g: loss.surprise(g.exp(), truth), (logs,), atol=1e-6)
    assert torch.autograd.gradcheck(lambda g: pseudorange(g.exp(), sigma=1.5, kernel=None), (logs,), atol=1e-6)


VALUES = st.floats(-50, 50, width=32) | st.sampled_from([0.0, -1e9, -200.0, 88.0, math.inf, -math.inf, math.nan])


@settings(max_examples=500, deadline=None)
@given(arrays.arrays(np.float32, (20, 4, 4), elements=VALUES), st.sampled_from([0.5, 1.0, 2.0, 4.0]))
def test_no_map_of_ten_thousand_gives_nan(logs: np.ndarray, sigma: float) -> None:
    """20 maps in each of 500 examples, as a head of logarithms gives them, and as one of maps does."""
    for activation in ("identity", "exp"):
        given = torch.from_numpy(logs) if activation == "identity" else torch.from_numpy(logs).nan_to_num(nan=0.0)
        output = given.clone().requires_grad_()
        codec = DistanceMap(Grid(64, 4), {"one_hot": one_hot}, activation=activation)
        maps = codec.maps(output[None])[0]
        points, scores = pseudorange(maps, sigma=sigma, kernel=None)
        assert points.isfinite().all()
        covariance = uncertainty(maps, sigma=sigma, kernel=None, noise=0.1)
        assert covariance.isfinite().all()
        surprise = EndToEnd(sigma=sigma).surprise(maps[None], torch.full((1, 20, 2), 1.5))
        assert surprise.isfinite().all()
        (points.sum() + scores.sum() + surprise.sum()).backward()
        assert output.grad is not None
        assert output.grad.isfinite().all()


def test_a_wide_map_and_a_low_one_cost_less_where_the_point_is_far_off() -> None:
    far, loss = torch.tensor([[[5.0, 0.5]]], dtype=torch.float64), EndToEnd(sigma=1.5)
    sure, low = (loss.surprise(logs_of(1.0, 4.0, amplitude).exp(), far).item() for amplitude in (1.0, 0.3))
    assert low < sure
    right = torch.tensor([[[1.0, 4.0]]], dtype=torch.float64)
    sure, low = (loss.surprise(logs_of(1.0, 4.0, amplitude).exp(), right).item() for amplitude in (1.0, 0.3))
    assert sure < low


def test_the_map_has_a_part_in_it() -> None:
    loss, points = EndToEnd(sigma=1.5), torch.tensor([[[2.2, 3.1]]])
    target = logs_of(2.2, 3.1).exp().float()
    torch.testing.assert_close(loss(target, target, points), 0.3 * loss.surprise(target, points))
    off = loss(target + 0.1, target, points) - 0.3 * loss.surprise(target + 0.1, points)
    torch.testing.assert_close(off, torch.full((1, 1), 0.01))


@pytest.mark.parametrize("options", [{"sigma": 0.0}, {"weight": -1.0}, {"noise": math.nan}])
def test_what_is_not_positive_is_refused(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(KeyposError, match=rf"loss.{name}=.* is not a positive number"):
        EndToEnd(**{"sigma": 1.0, **options})
