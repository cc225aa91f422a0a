"""Stacked hourglasses: networks that go down to a few cells and up again, several times over."""

import math

import torch
from jaxtyping import Float
from timm.layers import ConvNormAct
from torch import Tensor, nn
from torch.nn import functional

from keyposs.errors import KeyposError

WIDTH = 256
"""Channels of all maps behind the stem."""

DEPTH = 4
"""Halvings of an hourglass, as long as there are cells to halve."""


class Hourglass(nn.Module):
    """Stacked hourglasses as in Heatmap-in-Heatmap (Lan et al. 2021), after Newell et al. (ECCV 2016).

    Each stack reads one heatmap per keypoint, and hands its features and heatmaps on to the next; the last does so
    too, for a head that goes on from there. Three things differ from the published code. There, maps grow with
    `align_corners=True`, which moves features by up to half a cell against those that they are added to; here both
    keep their common border, as pooling and `Grid` do, at every size down to a single cell. Residuals that keep
    their width had projections that never ran: none here, so 22.68 M parameters of four stacks are 18.96 M. And maps
    coarser than a quarter of the image take further max-pools in the stem.

    All convolutions start at N(0, 0.001), as published: BatchNorm takes the scale out again.

    Args:
        stacks: how many hourglasses.
        heatmap_size: side of the heatmaps, in cells.
        image_size: side of the image, in pixels; 4, 8, 16, ... times the heatmap's.
        keypoints: how many heatmaps each stack reads.

    Raises:
        KeyposError: if there is no stack, or no stem makes that heatmap of that image.

    >>> Hourglass(stacks=2, heatmap_size=16, image_size=256, keypoints=68).channels
    (256, 68, 68)
    """

    def __init__(self, stacks: int, heatmap_size: int, image_size: int, keypoints: int) -> None:
        super().__init__()
        if stacks < 1:
            raise KeyposError(f"backbone.stacks={stacks}", "is no number of hourglasses", "choose 1, 2 or 4")
        self.stem = _stem(_halvings(heatmap_size, image_size))
        depth = min(DEPTH, int(math.log2(heatmap_size)))
        self.passes = nn.ModuleList(Pass(depth, keypoints) for _ in range(stacks))
        self.stacks, self.heatmap_size = stacks, heatmap_size
        self.channels = (WIDTH, *[keypoints] * stacks)
        start_small(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Float[Tensor, "b 3 H W"]) -> list[Float[Tensor, "b _ h w"]]:
        """The final features, then the heatmaps of each stack, the last one's last."""
        features, heatmaps = self.stem(image), []
        for stack in self.passes:
            features, read = stack(features)
            heatmaps.append(read)
        return [features, *heatmaps]


class Pass(nn.Module):
    """One hourglass, what is read off behind it, and the way back of both into the features.

    Args:
        depth: halvings of the hourglass.
        keypoints: how many heatmaps.
    """

    def __init__(self, depth: int, keypoints: int) -> None:
        super().__init__()
        self.body = nn.Sequential(level(depth), Residual(WIDTH, WIDTH), ConvNormAct(WIDTH, WIDTH))
        self.read = nn.Conv2d(WIDTH, keypoints, 1)
        self.merge_body = ConvNormAct(WIDTH, WIDTH)
        self.merge_read = ConvNormAct(keypoints, WIDTH)

    def forward(self, features: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b k h w"]]:
        """The features for whoever comes next, and the heatmaps, raw."""
        body = self.body(features)
        read = self.read(body)
        return features + self.merge_body(body) + self.merge_read(read), read


class Level(nn.Module):
    """An hourglass: what is seen at half the size is added to what is seen at the full one.

    Args:
        depth: halvings, at least 1.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.fine = Residual(WIDTH, WIDTH)
        self.coarse = nn.Sequential(
            nn.MaxPool2d(2, ceil_mode=True), Residual(WIDTH, WIDTH), level(depth - 1), Residual(WIDTH, WIDTH)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Features of the same shape."""
        grown = functional.interpolate(self.coarse(x), size=x.shape[-2:], mode="bilinear")
        return self.fine(x) + grown


class Residual(nn.Module):
    """A bottleneck of half the width, added to its input, which is projected only where the width changes.

    Args:
        channels: of the input.
        width: of the output.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            ConvNormAct(channels, width // 2),
            ConvNormAct(width // 2, width // 2, 3),
            ConvNormAct(width // 2, width, apply_act=False),
        )
        self.skip = nn.Identity() if channels == width else ConvNormAct(channels, width, apply_act=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Features of the same size."""
        return functional.relu(self.skip(x) + self.change(x))


def level(depth: int) -> nn.Module:
    """An hourglass of so many halvings; of none, it is a residual."""
    return Level(depth) if depth else Residual(WIDTH, WIDTH)


def start_small(net: nn.Module) -> None:
    """Draws the weights of all convolutions from N(0, 0.001), with biases of 0."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.001)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _stem(halvings: int) -> nn.Sequential:
    """Image to features; halvings beyond the published two lie before its first and its last residual, in turns.

    (Pooling is cheap, a residual on large maps is not; all pools at once would hand on a maximum of many cells.)
    """
    early, late = (halvings - 1) // 2, (halvings - 2) // 2
    return nn.Sequential(
        ConvNormAct(3, WIDTH // 4, 7, stride=2),
        *(nn.MaxPool2d(2) for _ in range(early)),
        Residual(WIDTH // 4, WIDTH // 2),
        nn.MaxPool2d(2),
        Residual(WIDTH // 2, WIDTH // 2),
        *(nn.MaxPool2d(2) for _ in range(late)),
        Residual(WIDTH // 2, WIDTH),
    )


def _halvings(heatmap_size: int, image_size: int) -> int:
    """How often the stem halves the image."""
    sizes = [image_size >> n for n in range(2, image_size.bit_length()) if (image_size >> n) << n == image_size]
    if heatmap_size in sizes:
        return sizes.index(heatmap_size) + 2
    raise KeyposError(
        f"heatmap_size={heatmap_size}",
        f"an hourglass halves the image two times or more, and makes no such map of image_size={image_size}",
        f"choose heatmap_size from {', '.join(map(str, sizes))}" if sizes else "choose an image_size that 4 divides",
    )
