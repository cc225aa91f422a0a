import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from keyposs.ema import ema


def test_the_average_by_hand() -> None:
    model = nn.BatchNorm1d(1)
    averaged = AveragedModel(model, multi_avg_fn=ema, use_buffers=True)
    expected = None
    for n in range(50):
        with torch.no_grad():
            model.weight.fill_(n)
            model.num_batches_tracked.fill_(n)
        averaged.update_parameters(model)
        decay = min(0.99, (1 + n) / (10 + n))
        expected = 0.0 if expected is None else decay * expected + (1 - decay) * n
    assert averaged.module.weight.item() == pytest.approx(expected, rel=1e-5)
    assert averaged.module.num_batches_tracked.item() == 49
