"""A point from the moments of its stations: the weighted normal equations, in closed form."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Fix(NamedTuple):
    """A solve in closed form, with what its covariance needs."""

    x: Float[Tensor, "*batch"]  # cells of the map
    y: Float[Tensor, "*batch"]
    Sxx: Float[Tensor, "*batch"]  # centred second moments of the stations under their weights, the peak's being 1
    Sxy: Float[Tensor, "*batch"]
    Syy: Float[Tensor, "*batch"]
    det: Float[Tensor, "*batch"]  # of the moments; 1 where the system is singular
    regular: Bool[Tensor, "*batch"]


def closed_form(
    moments: tuple[Tensor, Tensor, Tensor],
    told: tuple[Tensor, Tensor],
    origin: tuple[Tensor, Tensor],
    otherwise: tuple[Tensor, Tensor],
    least: float,
) -> Fix:
    """Solves `S x = v`, 2 x 2.

    Args:
        moments: `Sxx`, `Sxy`, `Syy`.
        told: `v`.
        origin: what `x` is relative to.
        otherwise: the point where the determinant is not above `least`, and the stations say no direction.
        least: of the determinant, cells^4.
    """
    (Sxx, Sxy, Syy), (vx, vy) = moments, told
    det = Sxx * Syy - Sxy * Sxy
    regular = det > least
    det = torch.where(regular, det, 1.0)
    x = torch.where(regular, origin[0] + (Syy * vx - Sxy * vy) / det, otherwise[0])
    y = torch.where(regular, origin[1] + (Sxx * vy - Sxy * vx) / det, otherwise[1])
    return Fix(x, y, Sxx, Sxy, Syy, det, regular)
