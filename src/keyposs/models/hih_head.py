"""The head of Heatmap-in-Heatmap: which cell a landmark is in, and where in that cell."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from timm.layers import ConvNormAct
from timm.models.resnet import BasicBlock
from torch import Tensor, nn
from torch.nn import functional

from keyposs.codecs.hih import HIHOutput
from keyposs.errors import KeyposError
from keyposs.models.conv_head import ConvHead
from keyposs.models.hourglass import start_small

WIDTH = 384
"""Channels of the decimal branch."""


class HIHHead(nn.Module):
    """Integer and decimal maps of each keypoint (Lan et al., Heatmap-in-Heatmap, ICCV workshops 2021).

    Behind stacked hourglasses the integer maps are the stacks' own, and the decimal maps are read off the features
    behind the last one. Behind any other backbone one integer map is read as `ConvHead` does, and the decimal maps
    are read off the same stack of resized maps. The decimal branch halves the features down to the bins: by a
    max-pool, then by residual blocks. As published, but for the max-pool's border: with one, 64 cells become 32, not
    31, and every size fits. Maps as small as the bins, which nothing halves, go through a depthwise 7x7 convolution
    instead: without it a bin would see one cell alone. Maps that do not come down
    to the bins, or are smaller, are resized (bilinear).

    Args:
        channels: of each feature map.
        size: side of the integer maps, in cells.
        keypoints: how many maps of each kind.
        stacks: how many of the last maps are integer maps; 0 where the backbone reads none on its way.
        bins: side of the decimal maps.

    Raises:
        KeyposError: if the last maps are no maps of keypoints, or there are no bins.
    """

    gives = HIHOutput

    def __init__(self, channels: Sequence[int], size: int, keypoints: int, stacks: int = 0, bins: int = 8) -> None:
        super().__init__()
        if bins < 1:
            raise KeyposError(f"head.bins={bins}", "a cell has one bin or more along its side", "use 8, as published")
        if stacks and list(channels[1:]) != [keypoints] * stacks:
            raise KeyposError(
                f"head.stacks={stacks}",
                f"the backbone does not end in so many sets of {keypoints} heatmaps",
                "use backbone=hourglass, or head.stacks=0 for a backbone without heatmaps",
            )
        self.size, self.stacks = size, stacks
        width = channels[0] if stacks else sum(channels)
        self.integer = nn.Identity() if stacks else ConvHead([width], size, keypoints)
        self.decimal = _decimal(width, size, keypoints, bins)
        start_small(self.decimal)

    def forward(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> HIHOutput:
        """The maps, raw, each in one piece of memory."""
        if self.stacks:
            features, integer = maps[0], torch.stack(list(maps[1:]))
        else:
            side = (self.size, self.size)
            features = torch.cat([functional.interpolate(x, size=side, mode="bilinear") for x in maps], dim=1)
            integer = self.integer([features])[None]
        return HIHOutput(integer.contiguous(), self.decimal(features).contiguous())


def _decimal(channels: int, size: int, keypoints: int, bins: int) -> nn.Sequential:
    """Features to decimal maps."""
    halvings = max(0, int(math.log2(size / bins)))
    pool = nn.MaxPool2d(3, 2, padding=1) if halvings else ConvNormAct(WIDTH, WIDTH, 7, groups=WIDTH)
    return nn.Sequential(
        ConvNormAct(channels, WIDTH),
        pool,
        *(_down() for _ in range(halvings - 1)),
        nn.Upsample(size=(bins, bins), mode="bilinear"),
        ConvNormAct(WIDTH, WIDTH),
        nn.Conv2d(WIDTH, keypoints, 1),
    )


def _down() -> BasicBlock:
    """A residual block that halves."""
    return BasicBlock(WIDTH, WIDTH, stride=2, downsample=ConvNormAct(WIDTH, WIDTH, stride=2, apply_act=False))
