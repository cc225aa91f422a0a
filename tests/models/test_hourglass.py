"""Stacked hourglasses against the publication's costs, summed by hand, and against closed forms."""

import pytest
import torch
from torch import nn

from keyposs.errors import KeyposError
from keyposs.models import HIHHead, Hourglass, Landmarker, efficiency
from keyposs.models.hourglass import Level, Residual

COSTS = {1: (9_424_388, 6.92e9), 2: (12_603_494, 10.27e9), 4: (18_961_706, 16.99e9)}
"""Stacks: parameters and multiply-adds of the published network with its head, less what never runs, at 98 points."""

PUBLISHED = {1: 10.37e6, 2: 14.47e6, 4: 22.68e6}
"""Stacks: parameters in the publication's table."""


def conv(channels: int, width: int, kernel: int = 1) -> int:
    """Parameters of a convolution without bias and its BatchNorm."""
    return channels * width * kernel**2 + 2 * width


def residual(channels: int, width: int) -> int:
    half = width // 2
    skip = conv(channels, width) if channels != width else 0
    return conv(channels, half) + conv(half, half, 3) + conv(half, width) + skip


def by_hand(stacks: int, points: int) -> int:
    stem = conv(3, 64, 7) + residual(64, 128) + residual(128, 128) + residual(128, 256)
    read = 256 * points + points
    # four levels of three residuals and one at the bottom; one behind them
    stack = 14 * residual(256, 256) + conv(256, 256) + read + conv(256, 256) + conv(points, 256)
    down = 2 * conv(384, 384, 3) + conv(384, 384)
    head = conv(256, 384) + 2 * down + conv(384, 384) + 384 * points + points
    return stem + stacks * stack + head


@pytest.mark.parametrize("stacks", COSTS)
def test_it_costs_what_the_published_network_does(stacks):
    parameters, macs = COSTS[stacks]
    net = Landmarker(
        lambda keypoints: Hourglass(stacks, heatmap_size=64, image_size=256, keypoints=keypoints),
        lambda **options: HIHHead(**options, stacks=stacks),
        keypoints=98,
    )
    cost = efficiency(net, image_size=256)
    assert cost["parameters"] == parameters == by_hand(stacks, 98)
    # published: 31, not 32 cells behind the head's max-pool, which then halve to the same 16
    assert cost["macs"] == pytest.approx(macs, rel=1e-3)
    # published: a projection in each residual that keeps its width, which never runs
    unused = conv(128, 128) + 14 * stacks * conv(256, 256)
    assert parameters + unused == pytest.approx(PUBLISHED[stacks], abs=5e3)


@pytest.mark.parametrize("heatmap_size", [16, 8, 4, 2, 1])
def test_features_and_heatmaps_have_the_heatmaps_size(heatmap_size):
    net = Hourglass(stacks=2, heatmap_size=heatmap_size, image_size=64, keypoints=5).eval()
    with torch.no_grad():
        maps = net(torch.randn(2, 3, 64, 64))
    side = (heatmap_size, heatmap_size)
    assert [tuple(x.shape) for x in maps] == [(2, 256, *side), (2, 5, *side), (2, 5, *side)]
    assert net.channels == (256, 5, 5)
    assert (net.stacks, net.heatmap_size) == (2, heatmap_size)


def test_maps_that_do_not_halve_evenly_run():
    net = Hourglass(stacks=1, heatmap_size=15, image_size=60, keypoints=5).eval()
    with torch.no_grad():
        assert net(torch.randn(1, 3, 60, 60))[1].shape == (1, 5, 15, 15)


@pytest.mark.parametrize(("heatmap_size", "levels"), [(64, 4), (32, 4), (16, 4), (8, 3), (4, 2), (2, 1), (1, 0)])
def test_an_hourglass_goes_down_to_one_cell_or_four_halvings(heatmap_size, levels):
    net = Hourglass(stacks=1, heatmap_size=heatmap_size, image_size=256, keypoints=5)
    assert sum(isinstance(module, Level) for module in net.modules()) == levels


def test_a_level_adds_what_it_sees_at_half_the_size_without_a_shift():
    """On a ramp, the larger cell of each pair is half a cell ahead; grown with a common border it is so everywhere."""
    level = Level(depth=1)
    level.fine = nn.Identity()
    level.coarse = nn.Sequential(level.coarse[0])
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    row = level(ramp)[0, 0, 3]
    torch.testing.assert_close(row[1:-1], 2 * torch.arange(1.0, 7) + 0.5)


def test_only_a_change_of_width_is_projected():
    assert isinstance(Residual(64, 64).skip, nn.Identity)
    same = Residual(64, 64).eval()
    nn.init.zeros_(same.change[2].conv.weight)
    x = torch.randn(1, 64, 3, 3)
    with torch.no_grad():
        torch.testing.assert_close(same(x), x.relu())


def test_each_stack_sees_the_heatmaps_of_the_one_before():
    net = Hourglass(stacks=2, heatmap_size=4, image_size=16, keypoints=3)
    features, _, last = net(torch.randn(2, 3, 16, 16))
    first, second = (stack.read.weight for stack in net.passes)
    assert torch.autograd.grad(last.square().sum(), first, retain_graph=True)[0].abs().max() > 0
    assert torch.autograd.grad(features.square().sum(), second)[0].abs().max() > 0


def test_all_convolutions_start_small():
    net = Hourglass(stacks=1, heatmap_size=16, image_size=64, keypoints=68)
    weights = [layer.weight.flatten() for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert torch.cat(weights).std().item() == pytest.approx(1e-3, rel=1e-2)
    assert net.passes[0].read.bias.abs().max() == 0


@pytest.mark.parametrize(("heatmap_size", "image_size"), [(128, 256), (12, 256), (0, 256), (63, 256)])
def test_another_heatmap_size_lists_those_that_work(heatmap_size, image_size):
    with pytest.raises(
        KeyposError, match=rf"heatmap_size={heatmap_size}: .* choose heatmap_size from 64, 32, 16, 8, 4, 2, 1"
    ):
        Hourglass(stacks=1, heatmap_size=heatmap_size, image_size=image_size, keypoints=5)


def test_the_list_follows_the_image_size():
    with pytest.raises(KeyposError, match=r"image_size=120\. Remedy: choose heatmap_size from 30, 15\."):
        Hourglass(stacks=1, heatmap_size=64, image_size=120, keypoints=5)
    with pytest.raises(KeyposError, match="choose an image_size that 4 divides"):
        Hourglass(stacks=1, heatmap_size=64, image_size=255, keypoints=5)


def test_no_stack_is_refused():
    with pytest.raises(KeyposError, match=r"backbone\.stacks=0: is no number of hourglasses.* choose 1, 2 or 4"):
        Hourglass(stacks=0, heatmap_size=64, image_size=256, keypoints=5)
