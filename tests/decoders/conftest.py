"""Exact distance maps, drawn here from the definition and not by the codec under test."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


def draw(points: Tensor, h: int, w: int, sigma: float = 2.0) -> Tensor:
    """`exp(-d^2 / 2 sigma^2)` in float64."""
    x, y = points.double()[..., None, None, :].unbind(-1)
    across, down = torch.arange(w, dtype=torch.float64), torch.arange(h, dtype=torch.float64)[:, None]
    return torch.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * sigma**2))


@pytest.fixture(scope="session")
def distance_maps() -> Callable[..., Tensor]:
    return draw


@pytest.fixture(scope="session")
def anywhere() -> Callable[..., Tensor]:
    """Points uniform over all of a map, from -0.5 to n - 0.5, with its four corners and border midpoints."""

    def points(n: int, h: int, w: int) -> Tensor:
        generator = torch.Generator().manual_seed(h * 1000 + w)
        unit = torch.rand(n, 2, generator=generator, dtype=torch.float64)
        unit[:9] = torch.cartesian_prod(*(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64),) * 2)
        return unit * torch.tensor([w, h]) - 0.5

    return points
