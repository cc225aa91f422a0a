"""Positions as angles: fixed sin-cos embeddings and rotary embeddings, both of points in units of the crop's side."""

import torch
from jaxtyping import Float
from torch import Tensor

SIDE = 32.0
"""Radians along the crop's side of the fastest angle: a wavelength of a fifth of the crop."""

BASE = 100.0
"""How much faster the first angle turns than the slowest would."""


def angles(points: Float[Tensor, "*batch 2"], count: int) -> Float[Tensor, "*batch angles"]:
    """The angles `SIDE * u * BASE^(-j / count)`, `count` of x and then `count` of y.

    Args:
        points: in units of the crop's side; they may lie off the crop.
        count: of each axis.
    """
    j = torch.arange(count, dtype=points.dtype, device=points.device)
    return (points[..., None] * (SIDE * BASE ** (-j / count))).flatten(-2)


def sincos(points: Float[Tensor, "*batch 2"], dim: int) -> Float[Tensor, "*batch dim"]:
    """A fixed embedding of positions: sines and cosines of the angles (Vaswani et al. 2017, in two dimensions).

    Args:
        points: in units of the crop's side.
        dim: a multiple of 4.
    """
    angle = angles(points, dim // 4)
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


def rotate(x: Float[Tensor, "b heads n dim"], points: Float[Tensor, "b n 2"]) -> Float[Tensor, "b heads n dim"]:
    """Turns queries or keys by where their tokens lie: pair `(x[j], x[j + dim / 2])` by the angle `j` of the point.

    Rotary embedding (Su et al. 2021), axial: one half of the pairs turns with x, the other with y. The length of a
    query stays, and its product with a key depends on the displacement between their points alone.

    Args:
        x: `dim` is a multiple of 4.
        points: in units of the crop's side; their precision is that of the turn.
    """
    angle = angles(points, x.shape[-1] // 4)[:, None]
    a, b = x.chunk(2, dim=-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).to(x.dtype)


def centres(height: int, width: int, like: Tensor) -> Float[Tensor, "cells 2"]:
    """The centres of a map's cells, row by row, in units of the crop's side."""
    y, x = ((torch.arange(n, dtype=like.dtype, device=like.device) + 0.5) / n for n in (height, width))
    return torch.stack((x.repeat(height), y.repeat_interleave(width)), dim=-1)
