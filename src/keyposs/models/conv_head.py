"""The head of HRNetV2: all feature maps at the heatmap's size, and two 1x1 convolutions."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class ConvHead(nn.Module):
    """Feature maps to one heatmap per keypoint, unbounded: no sigmoid follows (Wang et al. 2019; KeyPosS).

    All maps are resized (bilinear) to the heatmap and stacked; a 1x1 convolution with BatchNorm and ReLU mixes them,
    another reads the heatmaps off. Weights start at N(0, 0.001), so the first heatmaps are almost 0.

    Args:
        channels: of each feature map.
        size: side of the heatmaps, in cells.
        keypoints: how many heatmaps.
    """

    gives = Tensor

    def __init__(self, channels: Sequence[int], size: int, keypoints: int) -> None:
        super().__init__()
        total = sum(channels)
        self.size = size
        self.mix = nn.Sequential(nn.Conv2d(total, total, 1), nn.BatchNorm2d(total), nn.ReLU(inplace=True))
        self.read = nn.Conv2d(total, keypoints, 1)
        for conv in (self.mix[0], self.read):
            nn.init.normal_(conv.weight, std=0.001)
            nn.init.zeros_(conv.bias)

    def forward(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b k h w"]:
        """The heatmaps, raw, each map in one piece of memory, since readers go through it by rows."""
        resized = [functional.interpolate(x, size=(self.size, self.size), mode="bilinear") for x in maps]
        return self.read(self.mix(torch.cat(resized, dim=1))).contiguous()
