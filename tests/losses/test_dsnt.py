import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from keyposs.losses import dsnt


def maps(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_distance_and_divergence_by_other_means() -> None:
    output, target = maps(0, 2, 3, 8, 6), maps(1, 2, 3, 8, 6)
    points = 5 * maps(2, 2, 3, 2)
    values = dsnt(output, target, points, divergence=0.7)
    down, across = np.mgrid[:8, :6]
    for got, p, q, point in zip(
        values.flatten(), output.flatten(0, 1).numpy(), target.flatten(0, 1).numpy(), points.flatten(0, 1).numpy(),
        strict=True,
    ):  # fmt: skip
        x, y = ((p * axis).sum() / p.sum() for axis in (across, down))
        distance = np.hypot(2 * (x - point[0]) / 6, 2 * (y - point[1]) / 8)
        assert got.item() == pytest.approx(distance + 0.7 * jensenshannon(p.ravel(), q.ravel()) ** 2, rel=1e-6)


def test_zero_for_the_target_itself() -> None:
    cells = torch.arange(33, dtype=torch.float64)
    target = torch.exp(-((cells - 15.3) ** 2)[None] / 8 - ((cells - 17.6) ** 2)[:, None] / 8)[None, None]
    point = torch.tensor([[[15.3, 17.6]]], dtype=torch.float64)
    assert dsnt(target, target, point).item() == pytest.approx(0, abs=1e-6)
    assert dsnt(target, target, point + 1).item() == pytest.approx(2 * 2**0.5 / 33, abs=1e-6)


@pytest.mark.parametrize(
    "output", [torch.zeros(1, 1, 4, 4), -torch.ones(1, 1, 4, 4), torch.eye(16)[3].view(1, 1, 4, 4)]
)
def test_degenerate_maps_and_points_far_off_stay_finite(output: torch.Tensor) -> None:
    output = output.clone().requires_grad_()
    loss = dsnt(output, torch.zeros(1, 1, 4, 4), torch.tensor([[[1e4, -1e4]]])).sum()
    loss.backward()
    assert loss.isfinite()
    assert output.grad is not None
    assert output.grad.isfinite().all()
