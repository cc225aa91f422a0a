"""What goes into a network and what comes out."""

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from keyposs.errors import KeyposError
from keyposs.models import ConvHead, HRNet, Landmarker, Pyramid, backbone


class Echo(nn.Module):
    """A backbone that gives its input back."""

    channels = (3,)
    heatmap_size = 2

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [image]


class First(nn.Module):
    """A head that gives the first map back, and keeps what it was built with."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = options

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return maps[0]


@pytest.fixture(scope="module")
def net() -> Landmarker:
    return Landmarker(backbone("hrnet_w18_small", heatmap_size=8, image_size=64), ConvHead, keypoints=5).eval()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)


def test_pixels_are_normalised_as_imagenet():
    raw = torch.tensor([0, 64, 128, 255], dtype=torch.uint8).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (raw / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    torch.testing.assert_close(Landmarker(Echo(), First, keypoints=1)(raw), expected)


def test_the_head_is_told_what_it_needs():
    net = Landmarker(Echo(), First, keypoints=7)
    assert net.head.options == {"channels": (3,), "size": 2, "keypoints": 7}


def test_bytes_and_floats_of_0_to_255_are_one(net, image):
    with torch.no_grad():
        assert torch.equal(net(image), net(image.float()))


def test_eval_repeats_itself_and_takes_each_image_alone(net, image):
    with torch.no_grad():
        together = net(image)
        assert torch.equal(together, net(image))
        alone = torch.cat([net(image[:1]), net(image[1:])])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


def test_autocast_computes_in_bfloat16_near_float32(net, image):
    with torch.no_grad():
        full = net(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = net(image)
    assert half.dtype == torch.bfloat16
    assert (half - full).abs().max() < 0.05 * full.abs().max()


def test_a_network_of_doubles_takes_bytes(image):
    net = Landmarker(backbone("hrnet_w18_small", heatmap_size=1, image_size=64), ConvHead, keypoints=5).eval().double()
    with torch.no_grad():
        assert net(image).dtype == torch.float64


def test_a_checkpoint_holds_weights_only(net):
    assert {name.split(".")[0] for name in net.state_dict()} == {"backbone", "head"}


def test_it_exports_with_raw_pixels(image):
    net = Landmarker(backbone("hrnet_w18_small", heatmap_size=1, image_size=64), ConvHead, keypoints=5).eval()
    exported = torch.export.export(net, (image,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(image), net(image))


def test_an_image_without_three_channels_is_refused(net):
    with pytest.raises(TypeCheckError):
        net(torch.zeros(1, 1, 64, 64))


def test_the_name_alone_chooses_the_backbone():
    assert isinstance(backbone("hrnet_w18_small", heatmap_size=16, image_size=64), HRNet)
    assert isinstance(backbone("resnet18", heatmap_size=16, image_size=64), Pyramid)


def test_a_network_that_does_not_fuse_refuses_to():
    with pytest.raises(
        KeyposError, match=r"backbone\.fuse=bilinear: only an HRNet fuses branches, and resnet18 is none"
    ):
        backbone("resnet18", heatmap_size=16, image_size=64, fuse="bilinear")
