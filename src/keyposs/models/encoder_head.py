"""A transformer that reads coordinates off feature maps: a first guess, then looks at the guessed points."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from keyposs.codecs.coordinates import Regression
from keyposs.errors import KeyposError
from keyposs.models.attention import Block
from keyposs.models.rotary import centres, rotate, sincos

LEAST_SCALE = 1e-4
"""Of the crop's side; 0.03 pixels of 256."""


class EncoderHead(nn.Module):
    """Feature maps to landmarks with a scale each, in stages (after D-CeLR, ECCV 2024, and its port to faces).

    A light neck brings the maps to one width and adds coarse to fine. The reference encoder attends between the
    cells of the second coarsest map (16x16 of a crop of 256 pixels) and one token per landmark, which then give a
    first guess. Each refine layer adds to a token what the maps hold at the token's point, and lets the tokens attend
    to each other, turned by where they lie (rotary embedding); it moves the points within the crop, and its output
    is these plus a free residual, which may leave the crop. Nothing depends on the size of maps or image.

    Args:
        channels: of each feature map, finest first.
        size: side of the finest map; any will do.
        keypoints: how many landmarks.
        dim: width of the tokens; a multiple of 64, the width of an attention head.
        reference: encoder layers over cells and landmarks.
        refine: encoder layers over landmarks, each a stage of the output.

    Raises:
        KeyposError: if `dim` is not a positive multiple of 64, or a number of layers is negative.
    """

    gives = Regression

    def __init__(
        self,
        channels: Sequence[int],
        size: int,
        keypoints: int,
        dim: int = 256,
        reference: int = 2,
        refine: int = 3,
    ) -> None:
        super().__init__()
        if dim < 64 or dim % 64:
            raise KeyposError(f"head.dim={dim}", "does not make attention heads of 64 channels", "use 256, or n * 64")
        for setting, layers in {"reference": reference, "refine": refine}.items():
            if layers < 0:
                raise KeyposError(f"head.{setting}={layers}", "is a negative number of layers", "leave it out")
        self.neck = Neck(channels, dim)
        self.landmarks = nn.Parameter(torch.randn(keypoints, dim))
        self.reference = nn.Sequential(*(Block(dim) for _ in range(reference)))
        self.guess, self.spread = Readout(dim), Scale(dim)
        self.refine = nn.ModuleList(Refine(len(channels), dim) for _ in range(refine))

    def forward(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> Regression:
        """The first guess and every refined one, in the weights' precision also under autocast."""
        maps = self.neck(maps)
        tokens = self._look(maps[max(0, len(maps) - 2)])
        logits, scale = self.guess(tokens), self.spread(tokens)
        stages = [(logits.sigmoid(), scale)]
        for layer in self.refine:
            tokens, logits, *stage = layer(tokens, logits, maps)
            stages.append(stage)
        points, scales = zip(*stages, strict=True)
        return Regression(torch.stack(points), torch.stack(scales))

    def _look(self, cells: Float[Tensor, "b d h w"]) -> Float[Tensor, "b k d"]:
        """The landmarks' tokens, once they have seen the cells."""
        b, dim, height, width = cells.shape
        position = sincos(centres(height, width, self.landmarks), dim)
        tokens = torch.cat((cells.flatten(2).mT + position, self.landmarks.expand(b, -1, -1)), dim=1)
        return self.reference(tokens)[:, height * width :]


class Neck(nn.Module):
    """Maps of one width, finest first, each with all that are coarser added to it.

    Args:
        channels: of each map.
        dim: of all that come out.
    """

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(count, dim, 1, bias=False), nn.BatchNorm2d(dim)) for count in channels
        )

    def forward(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> list[Float[Tensor, "b d _ _"]]:
        """1x1 convolution and BatchNorm, then bilinear growth from the coarsest to the finest."""
        maps = [level(x) for level, x in zip(self.levels, maps, strict=True)]
        for i in reversed(range(len(maps) - 1)):
            maps[i] = maps[i] + functional.interpolate(maps[i + 1], size=maps[i].shape[-2:], mode="bilinear")
        return maps


class Refine(nn.Module):
    """One look at the current points: what the maps hold there joins the tokens, which then attend to each other.

    Args:
        levels: how many maps.
        dim: their width, and the tokens'.
    """

    def __init__(self, levels: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((levels,), 1 / levels))
        self.block = Block(dim)
        self.move, self.residual, self.spread = Readout(dim), Readout(dim), Scale(dim)

    def forward(
        self, tokens: Float[Tensor, "b k d"], logits: Float[Tensor, "b k 2"], maps: Sequence[Float[Tensor, "b d _ _"]]
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k 2"], Float[Tensor, "b k 2"], Float[Tensor, "b k 2"]]:
        """The tokens and the points' logits for the next layer; points and scales of this stage."""
        points = logits.detach().sigmoid()
        seen = sum(weight * sample(x, points) for weight, x in zip(self.weight, maps, strict=True))
        tokens = self.block(tokens + seen, partial(rotate, points=points))
        logits = logits + self.move(tokens)
        return tokens, logits, logits.sigmoid() + self.residual(tokens), self.spread(tokens)


def sample(x: Float[Tensor, "b d h w"], points: Float[Tensor, "b k 2"]) -> Float[Tensor, "b k d"]:
    """What a map holds at points in units of the crop's side (bilinear; beyond the outermost centres, their values)."""
    grid = (2 * points - 1)[:, :, None]
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)[..., 0].mT


class Readout(nn.Sequential):
    """Tokens to two numbers each, in the weights' precision also under autocast.

    Args:
        dim: width of the tokens.
        start: what all numbers are at first.
    """

    def __init__(self, dim: int, start: float = 0.0) -> None:
        super().__init__(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 2))
        nn.init.zeros_(self[-1].weight)
        nn.init.constant_(self[-1].bias, start)

    def forward(self, tokens: Float[Tensor, "b k d"]) -> Float[Tensor, "b k 2"]:
        """A hidden layer of the same width with ReLU, and the numbers."""
        with torch.autocast(tokens.device.type, enabled=False):
            return super().forward(tokens.to(self[0].weight.dtype))


class Scale(Readout):
    """Tokens to a scale of each coordinate's error, in sides of the crop: a sigmoid, at first 0.1, never 0."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, start=math.log(0.1 / 0.9))

    def forward(self, tokens: Float[Tensor, "b k d"]) -> Float[Tensor, "b k 2"]:
        """The scales, in (0, 1)."""
        return LEAST_SCALE + (1 - LEAST_SCALE) * super().forward(tokens).sigmoid()
