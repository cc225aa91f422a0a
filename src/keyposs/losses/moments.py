"""A map as a distribution over its cells: its mean and its spread, where the map's sides run from -1 to 1."""

import torch
from jaxtyping import Float
from torch import Tensor

TINY = 1e-12
"""What a map without mass is divided by, and what keeps logarithms finite."""


def probabilities(maps: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch h w"]:
    """The positive part of each map with a sum of 1, in float32 at least; all zeros where no cell is positive."""
    mass = maps.to(torch.promote_types(maps.dtype, torch.float32)).clamp(min=0)
    return mass / mass.sum((-2, -1), keepdim=True).clamp(min=TINY)


def normalised(points: Float[Tensor, "*batch 2"], maps: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch 2"]:
    """Points in cells as fractions of the map, whose outer borders are -1 and 1 (DSNT, eq. 3)."""
    x, y = points.unbind(-1)  # no tensor of the sides: a copy to a GPU would wait for it
    return torch.stack(((2 * x + 1) / maps.shape[-1], (2 * y + 1) / maps.shape[-2]), -1) - 1


def mean(p: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch 2"]:
    """The mean place, normalised (DSNT, eq. 4)."""
    x, y = _axes(p)
    return torch.stack(((p.sum(-2) * x).sum(-1), (p.sum(-1) * y).sum(-1)), -1)


def covariance(p: Float[Tensor, "*batch h w"], about: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2 2"]:
    """The unbiased covariance of normalised places, `sum p d d^T / (1 - sum p^2)`; 0 for a map of one cell."""
    x, y = (axis - about[..., i, None] for i, axis in enumerate(_axes(p)))
    xx, yy = (p.sum(-2) * x.square()).sum(-1), (p.sum(-1) * y.square()).sum(-1)
    xy = ((p * x[..., None, :]).sum(-1) * y).sum(-1)
    freedom = (1 - p.square().sum((-2, -1))).clamp(min=1e-4)
    rows = torch.stack((xx, xy), -1), torch.stack((xy, yy), -1)
    return torch.stack(rows, -2) / freedom[..., None, None]


def _axes(maps: Float[Tensor, "*batch h w"]) -> tuple[Tensor, Tensor]:
    """Normalised places of columns and rows."""
    return tuple(  # type: ignore[return-value]
        (2 * torch.arange(n, dtype=maps.dtype, device=maps.device) + 1) / n - 1
        for n in (maps.shape[-1], maps.shape[-2])
    )
