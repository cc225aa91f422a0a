"""The head against closed forms."""

import torch

from keyposs.models import ConvHead


def transparent(channels: tuple[int, ...], size: int) -> ConvHead:
    """A head whose mixing leaves what it gets, and whose heatmaps are the sum of all channels plus 1."""
    head = ConvHead(channels, size=size, keypoints=1).eval()
    with torch.no_grad():
        head.mix[0].weight.copy_(torch.eye(sum(channels))[..., None, None])
        head.mix[1].eps = 0.0
        head.read.weight.fill_(1.0)
        head.read.bias.fill_(1.0)
    return head


def test_maps_meet_at_the_heatmaps_size_and_negatives_are_cut():
    maps = [torch.full((1, 1, 8, 8), 2.0), torch.full((1, 1, 4, 4), -5.0), torch.full((1, 1, 1, 1), 3.0)]
    with torch.no_grad():
        heatmaps = transparent((1, 1, 1), size=8)(maps)
    torch.testing.assert_close(heatmaps, torch.full((1, 1, 8, 8), 2.0 + 3.0 + 1.0))


def test_growing_keeps_half_pixels():
    """Cell j of 8 lies at (j + 0.5) / 2 - 0.5 in 4 cells; a ramp shows it, up to the outermost cells."""
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    with torch.no_grad():
        grown = transparent((1,), size=8)([ramp])[0, 0, 3] - 1
    torch.testing.assert_close(grown, ((torch.arange(8.0) + 0.5) / 2 - 0.5).clamp(0, 3))


def test_heatmaps_are_not_squashed():
    with torch.no_grad():
        assert transparent((1,), size=4)([torch.full((1, 1, 4, 4), 99.0)]).max() == 100


def test_first_weights_are_small_and_biases_zero():
    head = ConvHead((18, 36, 72, 144), size=64, keypoints=98)
    for conv in (head.mix[0], head.read):
        assert abs(conv.weight.std().item() - 1e-3) < 5e-5  # 26460 weights or more: sd of the estimate 4e-6
        assert conv.bias.abs().max() == 0
    assert head.mix[0].weight.shape == (270, 270, 1, 1)
    assert head.read.weight.shape == (98, 270, 1, 1)
