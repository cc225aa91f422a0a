"""Nonlinear multilateration over a map's largest cells, wherever they lie."""

import torch
from jaxtyping import Float
from torch import Tensor

from keyposs.decoders._anchors import OFF_MAP, find_peak, finite, precise, reading
from keyposs.types import Heatmaps, Points, Scores

_STEPS = 20
_LAST = 0.01  # cells


def _residuals(
    point: Float[Tensor, "*batch 2"], anchors: Float[Tensor, "*batch n 2"], squared: Float[Tensor, "*batch n"]
) -> Float[Tensor, "*batch n"]:
    """`|a_i - x|^2 - d_i^2`."""
    return ((anchors - point[..., None, :]) ** 2).sum(-1) - squared


def _step(
    point: Float[Tensor, "*batch 2"],
    anchors: Float[Tensor, "*batch n 2"],
    squared: Float[Tensor, "*batch n"],
    weight: Float[Tensor, "*batch n"],
    damping: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch 2"]:
    """`-(J^T W J + 4 damping I)^-1 J^T W e`, 2 x 2 in closed form; 0 where singular."""
    toward = point[..., None, :] - anchors  # J = 2 (x - a)
    error = weight * _residuals(point, anchors, squared)
    gx, gy = (toward * error[..., None]).sum(-2).unbind(-1)
    weighted = toward * weight[..., None]
    Hxx, Hyy = ((weighted * toward).sum(-2) + damping[..., None]).unbind(-1)
    Hxy = (weighted[..., 0] * toward[..., 1]).sum(-1)
    det = Hxx * Hyy - Hxy * Hxy
    regular = det > 1e-12
    step = -torch.stack((Hyy * gx - Hxy * gy, Hxx * gy - Hxy * gx), -1) / 2
    return torch.where(regular[..., None], step / torch.where(regular, det, 1.0)[..., None], 0.0)


def _minimise(
    anchors: Float[Tensor, "*batch n 2"],
    squared: Float[Tensor, "*batch n"],
    weight: Float[Tensor, "*batch n"],
) -> Float[Tensor, "*batch 2"]:
    """Levenberg-Marquardt from the origin, a fixed number of steps; one that raises the cost is not taken."""
    point = torch.zeros_like(anchors[..., 0, :])
    damping = torch.ones_like(squared[..., 0])
    cost = (weight * _residuals(point, anchors, squared) ** 2).sum(-1)
    for _ in range(_STEPS):
        tried = point + _step(point, anchors, squared, weight, damping)
        new = (weight * _residuals(tried, anchors, squared) ** 2).sum(-1)
        better = new < cost
        point = torch.where(better[..., None], tried, point)
        cost = torch.where(better, new, cost)
        damping = torch.where(better, damping * 0.2, damping * 5).clamp(1e-6, 1e6)
    return point


def _with_gradient(
    point: Float[Tensor, "*batch 2"],
    anchors: Float[Tensor, "*batch n 2"],
    squared: Float[Tensor, "*batch n"],
    weight: Float[Tensor, "*batch n"],
) -> Float[Tensor, "*batch 2"]:
    """The minimum, with its derivative by the implicit function theorem: that of a Newton step there.

    Costs tell points apart to the root of a float's precision only, slopes to all of it: where that step is small, it
    is taken. Elsewhere the minimum is not found yet, and a full step might lead anywhere.
    """
    curvature = (weight * _residuals(point, anchors, squared)).sum(-1) / 2
    step = _step(point, anchors, squared, weight, curvature.detach())
    small = (step.detach().abs() < _LAST).all(-1, keepdim=True)
    return point + torch.where(small, step, step - step.detach())


def gauss_newton(heatmaps: Heatmaps, *, sigma: float = 2.0, anchors: int = 12) -> tuple[Points, Scores]:
    """Read the minimum of `sum_i (|a_i - x|^2 - d_i^2)^2` over the map's largest cells.

    The solver that the reference code of KeyPosS runs (its `topK` variant): the anchors are the largest cells
    of the whole map, `d_i^2 = -2 sigma^2 ln p_i`, and Gauss-Newton starts from the largest. Here it is damped
    (Levenberg-Marquardt) and takes a fixed number of steps, none of which raises the cost; cells that are
    not positive hold no range and carry no weight. Ranges are taken as true, so, unlike `multilateration`, a
    wrong amplitude moves the point.

    Args:
        heatmaps: distance maps.
        sigma: of the maps, in cells.
        anchors: how many cells to use.

    Returns:
        Points in cells, at most `OFF_MAP` sigmas off the map, and peaks clamped to [0, 1]; a map without a
        positive cell reads as its centre, 0.

    Raises:
        ValueError: if there are fewer than 3 anchors, or more than the map has cells.
    """
    h, w = heatmaps.shape[-2:]
    if not 3 <= anchors <= h * w:
        raise ValueError(f"anchors={anchors} must be at least 3 and at most the {h * w} cells of a {w}x{h} map (w x h)")
    peak = find_peak(heatmaps)
    largest, index = finite(precise(heatmaps)).flatten(-2).topk(anchors)
    x, y = index % w - peak.x[..., None], index // w - peak.y[..., None]
    weight = (largest > 0).to(largest.dtype) / anchors
    squared = -2 * sigma**2 * torch.where(largest > 0, largest, 1.0).log()
    cells = torch.stack((x, y), -1).to(largest.dtype)
    point = _with_gradient(_minimise(cells, squared.detach(), weight), cells, squared, weight)
    reach = OFF_MAP * sigma
    x = (peak.x + point[..., 0]).clamp(-0.5 - reach, w - 0.5 + reach)
    y = (peak.y + point[..., 1]).clamp(-0.5 - reach, h - 0.5 + reach)
    return reading(heatmaps, peak, x, y)
