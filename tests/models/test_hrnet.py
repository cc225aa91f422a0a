"""HRNet against timm's own forward, and against the paper's stems."""

import pytest
import timm
import torch
from torch import nn

from keyposs.errors import KeyposError
from keyposs.models import ConvHead, HRNet, Landmarker

BRANCHES = {4: (32, 16, 8, 4), 8: (16, 8, 4, 2), 16: (8, 4, 2, 1), 32: (4, 2, 1), 64: (2, 1)}
"""Sides of the branches at image_size=128, by stride: stage 4 does not run at 32, nor stage 3 at 64."""

TABLE_2 = {4: [2, 2], 8: [4, 2], 16: [4, 4], 32: [4, 4, 2], 64: [4, 4, 2, 2]}
"""Strides of the stem's convolutions (the paper's Table 2)."""


def timms(name: str, upsampling: str) -> nn.Module:
    """The branches of timm's forward, with the upsampling of its fuse layers set."""
    net = timm.create_model(name, features_only=True, feature_location="", out_indices=(1, 2, 3, 4))
    for module in net.modules():
        if isinstance(module, nn.Upsample):
            module.mode = upsampling
    return net


def settle(net: nn.Module) -> None:
    """Gives BatchNorms statistics of their own, so that outputs are of order 1 and no two of them agree by chance."""
    net.train()
    with torch.no_grad():
        for _ in range(10):
            net(torch.randn(2, 3, 64, 64))
    net.eval()


@pytest.mark.parametrize(
    ("name", "fuse"), [("hrnet_w18", "nearest"), ("hrnet_w18", "bilinear"), ("hrnet_w18_small_v2", "nearest")]
)
def test_a_quarter_of_the_image_is_timms_forward(monkeypatch, name, fuse):
    theirs = timms(name, upsampling=fuse)
    settle(theirs)
    theirs.double()  # else the order of sums, which differs by memory layout, would show
    image = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = theirs(image)
        monkeypatch.setattr(timm, "create_model", lambda *_, **__: theirs)
        found = HRNet(name, heatmap_size=16, image_size=64, fuse=fuse).eval()(image)
    assert len(found) == 4
    for mine, truth in zip(found, expected, strict=True):
        assert truth.abs().max() > 0.1
        torch.testing.assert_close(mine, truth, atol=1e-9, rtol=1e-9)


def test_fuse_modes_differ():
    nearest = HRNet("hrnet_w18_small", heatmap_size=16, image_size=64)
    bilinear = HRNet("hrnet_w18_small", heatmap_size=16, image_size=64, fuse="bilinear")
    settle(nearest)
    bilinear.load_state_dict(nearest.state_dict())
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        maps = zip(nearest(image), bilinear.eval()(image), strict=True)
        assert all((a - b).abs().max() > 1e-3 for a, b in maps)


@pytest.mark.parametrize("stride", BRANCHES)
def test_branches_halve_from_the_heatmaps_size(stride):
    net = HRNet("hrnet_w18", heatmap_size=128 // stride, image_size=128).eval()
    with torch.no_grad():
        maps = net(torch.zeros(1, 3, 128, 128))
    assert tuple(x.shape[-1] for x in maps) == BRANCHES[stride]
    assert tuple(x.shape[1] for x in maps) == net.channels == (18, 36, 72, 144)[: len(maps)]


@pytest.mark.parametrize("stride", TABLE_2)
def test_stem_is_table_2_and_each_convolution_has_its_own_norm(stride):
    stem = HRNet("hrnet_w18", heatmap_size=256 // stride, image_size=256).stem
    convolutions = [layer for layer in stem.modules() if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in stem.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert [conv.stride for conv in convolutions] == [(s, s) for s in TABLE_2[stride]]
    assert all(conv.kernel_size == (3, 3) and conv.padding == (1, 1) and conv.bias is None for conv in convolutions)
    assert len(norms) == len(convolutions)  # modules() names a shared one once


@pytest.mark.parametrize("stride", BRANCHES)
def test_every_parameter_runs(stride):
    net = Landmarker(HRNet("hrnet_w18", heatmap_size=128 // stride, image_size=128), ConvHead, keypoints=5)
    net(torch.rand(2, 3, 128, 128) * 255).square().sum().backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_two_images_differ_on_every_branch_below_the_deepest_stem():
    net = HRNet("hrnet_w18_small", heatmap_size=4, image_size=256)
    settle(net)
    with torch.no_grad():
        one, two = net(torch.randn(1, 3, 256, 256)), net(torch.randn(1, 3, 256, 256))
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(one, two, strict=True))


def test_maps_of_odd_size_fuse():
    net = HRNet("hrnet_w18_small", heatmap_size=15, image_size=60).eval()
    with torch.no_grad():
        assert [x.shape[-1] for x in net(torch.zeros(1, 3, 60, 60))] == [15, 8, 4, 2]


def test_widths_follow_the_name():
    assert HRNet("hrnet_w32", heatmap_size=8, image_size=256).channels == (32, 64, 128)


@pytest.mark.parametrize(("heatmap_size", "image_size"), [(12, 256), (128, 256), (2, 256), (0, 256), (63, 256)])
def test_another_heatmap_size_lists_those_that_work(heatmap_size, image_size):
    with pytest.raises(
        KeyposError, match=rf"heatmap_size={heatmap_size}: .* choose heatmap_size from 64, 32, 16, 8, 4"
    ):
        HRNet("hrnet_w18", heatmap_size, image_size)


def test_the_list_follows_the_image_size():
    with pytest.raises(KeyposError, match=r"image_size=120\. Remedy: choose heatmap_size from 30, 15\."):
        HRNet("hrnet_w18", heatmap_size=64, image_size=120)
    with pytest.raises(KeyposError, match="choose an image_size that 64 divides"):
        HRNet("hrnet_w18", heatmap_size=64, image_size=255)


def test_an_unknown_fuse_is_refused():
    with pytest.raises(
        KeyposError, match=r"backbone\.fuse=cubic: is unknown\. Remedy: choose one of nearest, bilinear"
    ):
        HRNet("hrnet_w18", heatmap_size=64, image_size=256, fuse="cubic")
