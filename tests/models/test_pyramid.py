"""timm's networks by name, against timm's own list of features."""

import pytest
import timm
import torch

from keyposs.errors import KeyposError
from keyposs.models import ConvHead, Landmarker, Pyramid


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100"])
@pytest.mark.parametrize("heatmap_size", [32, 16, 8, 4])
def test_levels_reach_from_the_heatmap_to_the_coarsest_and_all_run(name, heatmap_size):
    backbone = Pyramid(name, heatmap_size, image_size=128)
    info = timm.create_model(name, features_only=True).feature_info
    expected = [c for c, r in zip(info.channels(), info.reduction(), strict=True) if 128 // r <= heatmap_size]
    assert backbone.channels == tuple(expected)
    net = Landmarker(backbone, ConvHead, keypoints=5)
    heatmaps = net(torch.rand(2, 3, 128, 128) * 255)
    assert heatmaps.shape == (2, 5, heatmap_size, heatmap_size)
    heatmaps.square().sum().backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_maps_are_timms():
    mine = Pyramid("resnet18", heatmap_size=8, image_size=64).eval()
    theirs = timm.create_model("resnet18", features_only=True, out_indices=(2, 3, 4)).eval()
    theirs.load_state_dict(mine.net.state_dict())
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(mine(image), theirs(image), strict=True))


def test_a_plain_transformer_gives_its_deepest_level_at_any_image_size():
    net = Pyramid("vit_tiny_patch16_224", heatmap_size=4, image_size=64).eval()
    with torch.no_grad():
        assert [tuple(x.shape) for x in net(torch.zeros(1, 3, 64, 64))] == [(1, 192, 4, 4)]
    deepest = net.net.feature_info.get_dicts()[-1]["index"]
    assert deepest == len(timm.create_model("vit_tiny_patch16_224").blocks) - 1


def test_maps_with_channels_last_are_turned():
    net = Pyramid("swin_tiny_patch4_window7_224", heatmap_size=8, image_size=128).eval()
    with torch.no_grad():
        assert [tuple(x.shape) for x in net(torch.zeros(1, 3, 128, 128))] == [(1, 384, 8, 8), (1, 768, 4, 4)]


def test_sizes_that_do_not_divide_round_as_the_network_rounds():
    net = Pyramid("resnet18", heatmap_size=13, image_size=100).eval()  # 100, 50, 25, 13, 7, 4
    with torch.no_grad():
        assert [x.shape[-1] for x in net(torch.zeros(1, 3, 100, 100))] == [13, 7, 4]


def test_another_heatmap_size_lists_those_that_work():
    with pytest.raises(
        KeyposError, match="no feature map of resnet18 .* image_size=128.* choose heatmap_size from 64, 32, 16, 8, 4,"
    ):
        Pyramid("resnet18", heatmap_size=12, image_size=128)


def test_a_network_that_refuses_the_image_says_so():
    with pytest.raises(KeyposError, match=r"backbone\.name=vit_tiny_patch16_224: .* no feature maps .* image_size=8 "):
        Pyramid("vit_tiny_patch16_224", heatmap_size=1, image_size=8)
