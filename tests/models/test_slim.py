"""The slim network against HRNet: no dearer, and blind to no pixel."""

import pytest
import torch
from torch import nn

from keyposs.errors import KeyposError
from keyposs.models import ConvHead, HRNet, Landmarker, Slim, efficiency

SIZES = (64, 32, 16, 8, 4)


def unread(stem: nn.Module) -> float:
    """The share of pixels whose change changes nothing after the stem."""
    image = torch.randn(1, 3, 128, 128, requires_grad=True)
    stem.eval()(image).square().sum().backward()
    assert image.grad is not None
    return (image.grad.abs().sum(1) == 0).double().mean().item()


@pytest.mark.parametrize("size", SIZES)
def test_it_costs_no_more_than_the_papers_network(size):
    slim, papers = (
        efficiency(Landmarker(net(heatmap_size=size, image_size=256), ConvHead, keypoints=68), 256)["macs"]
        for net in (Slim, lambda **sizes: HRNet("hrnet_w18", **sizes))
    )
    assert 0.9 * papers < slim <= papers


@pytest.mark.parametrize("size", SIZES)
def test_it_reads_every_pixel(size):
    assert unread(Slim(size // 2, 128).stem) == 0


@pytest.mark.parametrize("size", [16, 8, 4])
def test_the_papers_network_does_not_read_every_pixel(size):
    # two convolutions in turn that read three of four rows and columns: (9 / 16)^2 of the pixels, but for the border
    assert unread(HRNet("hrnet_w18", size // 2, 128).stem) == pytest.approx(1 - (9 / 16) ** 2, abs=0.05)


@pytest.mark.parametrize(
    ("size", "sides"), [(64, [64, 32, 16, 8, 4]), (32, [32, 16, 8, 4]), (16, [16, 8, 4]), (8, [8, 4]), (4, [4, 2])]
)
def test_maps_start_at_the_heatmaps_size(size, sides):
    net = Slim(size, 256)
    maps = net(torch.zeros(2, 3, 256, 256))
    assert [(len(m), m.shape[1], *m.shape[2:]) for m in maps] == [
        (2, c, s, s) for c, s in zip(net.channels, sides, strict=True)
    ]


def test_blocks_start_as_the_identity():
    net = Slim(8, 256)
    x = torch.rand(1, 64, 16, 16)
    block = net.levels[2][1].eval()
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize(
    ("size", "remedy"), [(128, "choose heatmap_size from 64, 32, 16, 8, 4"), (5, "choose heatmap_size from")]
)
def test_another_size_is_refused(size, remedy):
    with pytest.raises(
        KeyposError, match=rf"heatmap_size={size}: the slim network has strides 4, 8, 16, 32, 64.*{remedy}"
    ):
        Slim(size, 256)
