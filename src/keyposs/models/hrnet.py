"""HRNetV2 with a stem for each heatmap size, over timm's modules."""

from functools import reduce
from operator import add

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from keyposs.errors import KeyposError
from keyposs.models.pretrained import create

STEMS = {4: (2, 2), 8: (4, 2), 16: (4, 4), 32: (4, 4, 2), 64: (4, 4, 2, 2)}
"""Strides of the stem's 3x3 convolutions, by the stride of the whole stem (KeyPosS, Table 2)."""

FUSES = ("nearest", "bilinear")


class HRNet(nn.Module):
    """HRNetV2 whose finest branch has the size of the heatmap (Wang et al. 2019; KeyPosS, Table 2).

    The stem's strides bring the image down to the heatmap. Each stem convolution beyond timm's two takes the
    place of a stage, as in the paper's code: at a stride of 32 the network ends after stage 3, at 64 after stage 2.
    Unlike there, each has a BatchNorm of its own, and no layer exists that never runs.

    Args:
        name: one of timm's HRNets, such as `hrnet_w18` or `hrnet_w32`.
        heatmap_size: side of the heatmap, in cells.
        image_size: side of the image, in pixels; 4, 8, 16, 32 or 64 times the heatmap's.
        pretrained: take timm's ImageNet weights; stem convolutions that they lack start untrained.
        fuse: how a coarse branch grows to a finer one: `nearest` as timm, whose weights expect it, or `bilinear`
            as the paper's code.

    Raises:
        KeyposError: if no stem makes that heatmap of that image, `fuse` is unknown, or timm lacks name or weights.

    >>> HRNet("hrnet_w18", heatmap_size=8, image_size=256).channels
    (18, 36, 72)
    """

    def __init__(
        self, name: str, heatmap_size: int, image_size: int, pretrained: bool = False, fuse: str = "nearest"
    ) -> None:
        super().__init__()
        strides = _stem_strides(heatmap_size, image_size)
        if fuse not in FUSES:
            raise KeyposError(f"backbone.fuse={fuse}", "is unknown", f"choose one of {', '.join(FUSES)}")
        net = create(name, pretrained=pretrained, feature_location="")
        extra = strides[2:]
        net.conv1.stride, net.conv2.stride = (strides[0],) * 2, (strides[1],) * 2
        self.stem = nn.Sequential(
            *(net.conv1, net.bn1, net.act1, net.conv2, net.bn2, net.act2), *(_downsample(64, s) for s in extra)
        )
        self.layer1 = net.layer1
        stages = [
            Stage(net.transition1, net.stage2, fuse),
            Stage(net.transition2, net.stage3, fuse),
            Stage(net.transition3, net.stage4, fuse),
        ]
        self.stages = nn.ModuleList(stages[: len(stages) - len(extra)])
        self.heatmap_size = heatmap_size
        self.channels = stages[len(self.stages) - 1].channels
        self.to(memory_format=torch.channels_last)  # 1.4 times as fast on a CPU

    def forward(self, image: Float[Tensor, "b 3 H W"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Maps of each branch, finest first; the first has the heatmap's size."""
        maps = [self.layer1(self.stem(image))]
        for stage in self.stages:
            maps = stage(maps)
        return maps


class Stage(nn.Module):
    """A stage of HRNet: a transition that may open a coarser branch, then modules that run and fuse all branches.

    Args:
        transition: timm's, one module per branch of this stage.
        modules: timm's `HighResolutionModule`s.
        fuse: mode of the upsampling between branches.
    """

    def __init__(self, transition: nn.ModuleList, modules: nn.Sequential, fuse: str) -> None:
        super().__init__()
        self.transition, self.fuses, self.fuse = transition, modules, fuse
        self.channels: tuple[int, ...] = tuple(modules[-1].get_num_in_chs())
        for module in modules:
            for i, row in enumerate(module.fuse_layers):
                for up in row[i + 1 :]:
                    del up[2]  # timm's fixed doubling, which does not fit maps of odd size

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> list[Float[Tensor, "b _ _ _"]]:
        """A new branch starts from the coarsest map; then each module exchanges between all branches."""
        maps = [layer(maps[min(i, len(maps) - 1)]) for i, layer in enumerate(self.transition)]
        for module in self.fuses:
            maps = [branch(x) for branch, x in zip(module.branches, maps, strict=True)]
            maps = [self._fused(module, maps, i) for i in range(len(maps))]
        return maps

    def _fused(self, module: nn.Module, maps: list[Tensor], i: int) -> Tensor:
        """ReLU of the sum of all branches, each brought to the size and width of branch `i`."""
        size = maps[i].shape[-2:]
        brought = [layer(x) for layer, x in zip(module.fuse_layers[i], maps, strict=True)]
        grown = [functional.interpolate(x, size=size, mode=self.fuse) for x in brought[i + 1 :]]
        return module.fuse_act(reduce(add, brought[: i + 1] + grown))


def _downsample(channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


def _stem_strides(heatmap_size: int, image_size: int) -> tuple[int, ...]:
    for stride, strides in STEMS.items():
        if stride * heatmap_size == image_size:
            return strides
    sizes = [str(image_size // stride) for stride in STEMS if image_size % stride == 0]
    raise KeyposError(
        f"heatmap_size={heatmap_size}",
        f"HRNet's stems have strides {', '.join(map(str, STEMS))}, and none makes it of image_size={image_size}",
        f"choose heatmap_size from {', '.join(sizes)}" if sizes else "choose an image_size that 64 divides",
    )
