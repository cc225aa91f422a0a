"""The head of Heatmap-in-Heatmap: what it hands on, what it reads, and that both can be learnt."""

import pytest
import torch
from torch import nn

from keyposs.codecs import HIH
from keyposs.errors import KeyposError
from keyposs.grid import Grid
from keyposs.models import ConvHead, HIHHead, Hourglass, Landmarker, backbone
from keyposs.types import Truth


def hourglass(stacks: int, heatmap_size: int, image_size: int) -> Landmarker:
    """Five keypoints."""
    return Landmarker(
        lambda keypoints: Hourglass(stacks, heatmap_size, image_size, keypoints),
        lambda **options: HIHHead(**options, stacks=stacks),
        keypoints=5,
    )


def truth(faces: int, image_size: int) -> Truth:
    keypoints = torch.rand(faces, 5, 2) * image_size - 0.5
    return Truth(keypoints, torch.ones(faces, 5, dtype=torch.bool), torch.full((faces,), image_size / 3))


def test_integer_maps_of_the_stacks_go_through_in_their_order():
    maps = [torch.randn(2, 256, 8, 8), *(torch.randn(2, 5, 8, 8) for _ in range(3))]
    output = HIHHead((256, 5, 5, 5), size=8, keypoints=5, stacks=3).eval()(maps)
    assert torch.equal(output.integer, torch.stack(maps[1:]))


def test_without_stacks_the_integer_map_is_that_of_the_plain_head():
    maps = [torch.randn(2, 3, 8, 8), torch.randn(2, 4, 4, 4)]
    head, plain = HIHHead((3, 4), size=8, keypoints=5).eval(), ConvHead((3, 4), size=8, keypoints=5).eval()
    plain.load_state_dict(head.integer.state_dict())
    nn.init.ones_(plain.read.weight)
    nn.init.ones_(head.integer.read.weight)
    with torch.no_grad():
        torch.testing.assert_close(head(maps).integer, plain(maps)[None])


@pytest.mark.parametrize(
    ("size", "bins", "before"),
    [(64, 8, 8), (32, 8, 8), (16, 8, 8), (8, 8, 8), (4, 8, 4), (1, 8, 1), (48, 8, 12), (64, 4, 4), (4, 1, 1)],
)
def test_features_are_halved_to_the_bins_or_resized_at_last(size, bins, before):
    head = HIHHead((6,), size=size, keypoints=5, bins=bins).eval()
    seen = []
    resize = next(layer for layer in head.decimal if isinstance(layer, nn.Upsample))
    resize.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[-1]))
    output = head([torch.randn(2, 6, size, size)])
    assert seen == [before]
    assert output.integer.shape == (1, 2, 5, size, size)
    assert output.decimal.shape == (2, 5, bins, bins)


def test_maps_are_each_in_one_piece():
    for net in (hourglass(2, 8, 32), Landmarker(backbone("hrnet_w18_small", 8, 32), HIHHead, keypoints=5)):
        output = net.eval()(torch.zeros(2, 3, 32, 32))
        assert output.integer.is_contiguous()
        assert output.decimal.is_contiguous()


@pytest.mark.parametrize("size", [16, 8, 4])
@pytest.mark.parametrize("kind", ["hourglass", "hrnet"])
def test_every_parameter_learns_in_each_step(kind, size):
    if kind == "hourglass":
        net = hourglass(2, size, 64)
    else:
        net = Landmarker(backbone("hrnet_w18_small", size, 64), HIHHead, keypoints=5)
    HIH(Grid(64, size)).loss(net(torch.rand(2, 3, 64, 64) * 255), truth(2, 64)).backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is None] == []


def test_autocast_trains_and_reads_in_float32():
    net, codec = hourglass(1, 8, 32), HIH(Grid(32, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = net(torch.rand(2, 3, 32, 32) * 255)
        loss = codec.loss(output, truth(2, 32))
        readings = codec.decode(output)
    assert output.integer.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert {points.dtype for points, _ in readings.values()} == {torch.float32}


def test_faces_are_learnt_by_heart_to_a_bin():
    """Noise with any points: the published first weights train, and the decimal maps come to say something."""
    net, codec, image, faces = hourglass(1, 8, 32), HIH(Grid(32, 8)), torch.rand(4, 3, 32, 32) * 255, truth(4, 32)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(100):
        optimizer.zero_grad()
        codec.loss(net(image), faces).backward()
        optimizer.step()
    points, _ = codec.decode(net(image))["hih"]
    error = (points - faces.keypoints).abs()
    assert error.median() < 4 / 16 + 1e-3  # half a bin: all bins are right but few
    assert error.mean() < 4 / 8


def test_it_exports():
    net, image = hourglass(1, 8, 32).eval(), torch.rand(1, 3, 32, 32) * 255
    exported = torch.export.export(net, (image,)).module()
    with torch.no_grad():
        for mine, theirs in zip(exported(image), net(image), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_the_decimal_branch_starts_small():
    head = HIHHead((18, 36), size=16, keypoints=68)
    weights = [layer.weight.flatten() for layer in head.decimal.modules() if isinstance(layer, nn.Conv2d)]
    assert torch.cat(weights).std().item() == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("channels", [(256, 5), (256, 5, 5, 5), (18, 36, 72)])
def test_stacks_that_the_backbone_has_not_are_refused(channels):
    with pytest.raises(KeyposError, match=r"head\.stacks=2: .* use backbone=hourglass, or head\.stacks=0"):
        HIHHead(channels, size=8, keypoints=5, stacks=2)


def test_no_bins_are_refused():
    with pytest.raises(KeyposError, match=r"head\.bins=0: a cell has one bin or more"):
        HIHHead((18,), size=8, keypoints=5, bins=0)
