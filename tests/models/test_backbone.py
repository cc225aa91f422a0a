"""Networks that a user may name, at the sizes that heatmaps have."""

import pytest
import timm
import torch

from keyposs.errors import KeyposError
from keyposs.models import backbone


@pytest.mark.parametrize(
    ("name", "heatmap_size", "channels"),
    [
        ("hrnet_w18", 64, (18, 36, 72, 144)),
        ("hrnet_w18", 32, (18, 36, 72, 144)),
        ("hrnet_w18", 16, (18, 36, 72, 144)),
        ("hrnet_w18", 8, (18, 36, 72)),
        ("hrnet_w18", 4, (18, 36)),
        ("hrnet_w32", 64, (32, 64, 128, 256)),
        ("hrnet_w18_small_v2", 64, (18, 36, 72, 144)),
        ("convnext_atto", 64, (40, 80, 160, 320)),
        ("mobilenetv3_small_100", 8, (576,)),
    ],
)
@torch.no_grad()
def test_maps_of_an_image_of_256_pixels(name, heatmap_size, channels):
    net = backbone(name, heatmap_size, image_size=256).eval()
    maps = net(torch.zeros(1, 3, 256, 256))
    assert net.channels == channels
    assert [tuple(x.shape) for x in maps] == [
        (1, c, heatmap_size >> i, heatmap_size >> i) for i, c in enumerate(channels)
    ]


@pytest.mark.parametrize("name", ["resnet18", "hrnet_w18"])
def test_an_unknown_tag_of_weights_lists_those_that_there_are(name):
    tagged = timm.list_models(f"{name}.*", pretrained=True)[0]
    with pytest.raises(
        KeyposError, match=rf"timm has no weights 'nope' of {name}\. Remedy: choose from {name}, {tagged}"
    ):
        backbone(f"{name}.nope", 64, 256)
    assert backbone(tagged, 64, 256).heatmap_size == 64


@pytest.mark.parametrize("heatmap_size", [8, 4])
def test_each_norm_of_the_stem_follows_its_own_convolution(heatmap_size):
    """The published code's shared one would hold the same statistics for all."""
    torch.manual_seed(0)
    stem = backbone("hrnet_w18", heatmap_size, 256).stem.train()
    stem(torch.randn(2, 3, 256, 256))
    means = [m.running_mean for m in stem.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(not torch.allclose(a, b) for i, a in enumerate(means) for b in means[:i])
