"""A residual network for small maps: every pixel is read, and the work is done where the map is."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from keyposs.errors import KeyposError


class Plan(NamedTuple):
    """What a slim network is made of, from the patches on, each level half as fine as the one before."""

    patch: int  # pixels along the side of the first level's cells
    widths: tuple[int, ...]
    blocks: tuple[int, ...]


PLANS = {
    4: Plan(4, (48, 96, 144, 192, 224), (4, 4, 4, 4, 2)),
    8: Plan(4, (40, 80, 128, 160, 192), (0, 3, 3, 2, 1)),
    16: Plan(4, (32, 48, 112, 160, 192), (0, 0, 2, 2, 1)),
    32: Plan(4, (24, 32, 64, 96, 160), (0, 0, 1, 1, 1)),
    64: Plan(8, (24, 40, 72, 128, 160), (0, 0, 1, 1, 1)),
}
"""By the stride of the map. None costs more multiply-adds than KeyPosS's HRNet for that map (Table 6)."""


class Slim(nn.Module):
    """Patches of the image, then residual blocks on ever coarser levels; from the heatmap's level on, all are given.

    The stem cuts the image into patches that do not overlap (a convolution whose stride is its kernel), so unlike the
    strided 3 x 3 convolutions of KeyPosS's HRNet it reads every pixel, once. Then each level is a strided 3 x 3
    convolution and basic blocks (He et al., CVPR 2016), down to where a cell sees the whole face. Most of the work is
    done where the map is and at the coarser levels; HRNet has 18 channels on its finest.

    Args:
        heatmap_size: side of the heatmap, in cells.
        image_size: side of the image, in pixels; 4, 8, 16, 32 or 64 times the heatmap's.

    Raises:
        KeyposError: if there is no plan for that stride.

    >>> Slim(heatmap_size=8, image_size=256).channels
    (96, 160)
    """

    def __init__(self, heatmap_size: int, image_size: int) -> None:
        super().__init__()
        plan = _plan(heatmap_size, image_size)
        self.stem = _conv(3, plan.widths[0], plan.patch, stride=plan.patch, padding=0)
        widths = zip((0, *plan.widths), plan.widths, plan.blocks, strict=False)
        self.levels = nn.ModuleList(_level(*of_level) for of_level in widths)
        self.heatmap_size = heatmap_size
        self.first = (image_size // heatmap_size // plan.patch).bit_length() - 1
        self.channels = plan.widths[self.first :]
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Float[Tensor, "b 3 H W"]) -> list[Float[Tensor, "b _ _ _"]]:
        """The maps of the heatmap's level and coarser, finest first."""
        maps = [self.stem(image.contiguous(memory_format=torch.channels_last))]
        for level in self.levels:
            maps.append(level(maps[-1]))
        return maps[1 + self.first :]


class Block(nn.Module):
    """Two 3 x 3 convolutions around which the input is added; it starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _conv(width, width, 3), nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return (x + self.norm(self.second(self.first(x)))).relu()


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _level(before: int, width: int, blocks: int) -> nn.Sequential:
    """Blocks, after a convolution that halves the map unless it is the stem's."""
    halved = [_conv(before, width, 3, stride=2)] if before else []
    return nn.Sequential(*halved, *(Block(width) for _ in range(blocks)))


def _plan(heatmap_size: int, image_size: int) -> Plan:
    for stride, plan in PLANS.items():
        if stride * heatmap_size == image_size:
            return plan
    sizes: Sequence[str] = [str(image_size // stride) for stride in PLANS if image_size % stride == 0]
    raise KeyposError(
        f"heatmap_size={heatmap_size}",
        f"the slim network has strides {', '.join(map(str, PLANS))}, and none makes it of image_size={image_size}",
        f"choose heatmap_size from {', '.join(sizes)}" if sizes else "choose an image_size that 64 divides",
    )
