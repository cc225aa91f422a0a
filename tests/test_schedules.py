import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, MultiStepLR, SequentialLR

from keyposs.errors import KeyposError
from keyposs.schedules import cosine, multi_step, scaled_for


def torch_rates(scheduler: object, optimizer: torch.optim.Optimizer, count: int) -> list[float]:
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()  # type: ignore[attr-defined]
    return rates


def test_cosine_is_torchs_linear_warm_up_and_cosine() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    warm = LinearLR(optimizer, start_factor=1 / 20, total_iters=19)
    anneal = CosineAnnealingLR(optimizer, T_max=180, eta_min=0.005)
    expected = torch_rates(SequentialLR(optimizer, [warm, anneal], milestones=[20]), optimizer, 200)
    ours = [cosine(step, 200, 10, warmup=2, final=0.005) for step in range(200)]
    assert ours == pytest.approx(expected, abs=1e-6)


def test_steps_are_torchs() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    expected = torch_rates(MultiStepLR(optimizer, [400, 550]), optimizer, 600)
    assert [multi_step(step, 600, 10, warmup=0) for step in range(600)] == pytest.approx(expected)


@pytest.mark.parametrize("schedule", [cosine, multi_step])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_short_run_is_not_all_warm_up(schedule: object, count: int) -> None:
    rates = [schedule(step, count, count) for step in range(count)]  # type: ignore[operator]
    assert max(rates) == 1
    assert min(rates) > 0


@pytest.mark.parametrize("world", [1, 2, 8])
def test_the_learning_rate_of_many_devices(world: int) -> None:
    assert scaled_for(world, "none") == 1
    assert scaled_for(world, "linear") == world
    assert scaled_for(world, "sqrt") ** 2 == pytest.approx(world)


def test_an_unknown_rule() -> None:
    with pytest.raises(KeyposError, match="lr_scaling=cubic: is unknown. Remedy: choose one of none, sqrt, linear"):
        scaled_for(2, "cubic")
