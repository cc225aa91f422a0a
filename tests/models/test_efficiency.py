"""Costs against sums by hand, and against measured ones of the paper's code."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from keyposs.models import CascadeHead, ConvHead, HRNet, Landmarker, Patches, efficiency

TABLE_6 = {
    64: (4.694e9, 9_662_528),
    32: (1.173e9, 9_662_528),
    16: (0.299e9, 9_662_528),
    8: (0.0651e9, 2_825_588 + 128),
    4: (0.0259e9, 655_868 + 2 * 128),
}
"""MACs of the convolutions and parameters that run in the paper's code, at 98 points; a BatchNorm of its own for each
extra convolution of the stem adds 128."""


@pytest.mark.parametrize("heatmap_size", TABLE_6)
def test_hrnet_costs_what_the_papers_does(heatmap_size):
    net = Landmarker(HRNet("hrnet_w18", heatmap_size, image_size=256), ConvHead, keypoints=98)
    macs, parameters = TABLE_6[heatmap_size]
    cost = efficiency(net, image_size=256)
    assert cost["macs"] == pytest.approx(macs, rel=5e-3)
    assert cost["parameters"] == parameters


def test_a_small_network_by_hand():
    net = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(5 * 64, 7))
    assert efficiency(net, image_size=16) == {
        "macs": 3 * 5 * 9 * 8 * 8 + 5 * 64 * 7,
        "parameters": (3 * 5 * 9 + 5) + 2 * 5 + (5 * 64 * 7 + 7),
    }


def test_counting_leaves_modes_and_statistics_alone():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)).train()
    net[2].eval()
    before = copy.deepcopy(net.state_dict())
    efficiency(net, image_size=8)
    assert [module.training for module in net.modules()] == [True, True, True, False]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_cascade_costs_all_its_stages_however_soon_faces_stop() -> None:
    def cost(**options: object) -> dict[str, int]:
        head = partial(CascadeHead, image_size=64, width=4, hidden=16, **options)
        return efficiency(Landmarker(Patches(64), head, keypoints=5), image_size=64)

    assert cost(exit="compact", threshold=1e9) == cost(exit="mask", threshold=1e9) == cost()
    assert cost(levels=(2,))["macs"] == cost()["macs"] // 3
