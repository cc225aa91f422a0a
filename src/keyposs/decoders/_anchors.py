"""What decoders share: the peak of a map, the cells around it, and the anchors chosen among them.

A full pass over memory costs more than all the geometry of a decoder, so maps are read once, by rows; after
that only the peak's row and a few cells around the peak are touched.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from keyposs.types import Heatmaps, Points, Scores

OFF_MAP = 1.0
"""A landmark is believed up to this many sigmas off the border of its map."""


class Peak(NamedTuple):
    """The largest cell of each map, the first in row-major order among equals."""

    x: Int[Tensor, "*batch"]
    y: Int[Tensor, "*batch"]
    value: Float[Tensor, "*batch"]


class Window(NamedTuple):
    """A `k x k` window of anchors; cells in row-major order."""

    x: Int[Tensor, "*batch"]  # of its first cell
    y: Int[Tensor, "*batch"]
    responses: Float[Tensor, "*batch cells"]  # relative to the peak


def finite(values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """NaN and infinities as 0, in operations that run as vectors on a CPU, where `nan_to_num` does not."""
    return torch.where(values.abs() < math.inf, values, 0)


def precise(values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Half and bfloat16 as float32, where the geometry is computed."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


@torch.library.custom_op("keyposs::row_maxima", mutates_args=(), device_types="cpu")
def _row_maxima_on_host(heatmaps: Tensor) -> Tensor:
    # Cleaning writes a second map, which costs many times the reading, so only rows in need are cleaned.
    # How many is data-dependent: free on the host, a sync elsewhere. Hence an operator, opaque to tracers.
    maxima = heatmaps.amax(-1)
    if not maxima.numel() or maxima.max() < math.inf:  # False for NaN too
        return maxima
    broken = ~(maxima < math.inf)
    maxima[broken] = finite(heatmaps[broken]).amax(-1)
    return maxima


@_row_maxima_on_host.register_fake
def _row_maxima_shape(heatmaps: Tensor) -> Tensor:
    return heatmaps.new_empty(heatmaps.shape[:-1])


def row_maxima(heatmaps: Heatmaps) -> Float[Tensor, "*batch h"]:
    """Largest finite cell of each row (0 for a cell that is not finite), without gradient."""
    heatmaps = heatmaps.detach()
    if heatmaps.device.type == "cpu" and not torch.compiler.is_compiling():
        return _row_maxima_on_host(heatmaps)  # type: ignore[no-any-return]
    return finite(heatmaps).amax(-1)


def read_row(heatmaps: Heatmaps, y: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch w"]:
    """One row of each map, finite, without gradient."""
    h, w = heatmaps.shape[-2:]
    first = torch.arange(0, y.numel() * h, h, device=heatmaps.device)
    # not gather: its index would be as large as the rows
    rows = heatmaps.detach().flatten(0, -2).index_select(0, first + y.flatten())
    return finite(rows).view(*y.shape, w)


def largest_cell(heatmaps: Heatmaps, y: Int[Tensor, "*batch"], row: Float[Tensor, "*batch w"]) -> Peak:
    """The largest cell of row `y`, whose responses are `row`."""
    x = row.max(-1).indices
    value = heatmaps.flatten(-2).gather(-1, (y * heatmaps.shape[-1] + x)[..., None]).squeeze(-1)
    return Peak(x, y, finite(precise(value)))


def find_peak(heatmaps: Heatmaps) -> Peak:
    """The largest cell of each map, among finite ones."""
    y = row_maxima(heatmaps).max(-1).indices  # the first of equals, as argmax gives, and faster
    return largest_cell(heatmaps, y, read_row(heatmaps, y))


def scale(peak: Peak) -> Float[Tensor, "*batch"]:
    """What to divide a map by to give it peak 1; 1 where it has no positive cell."""
    return torch.where(peak.value > 0, peak.value, 1.0)


def around(heatmaps: Heatmaps, peak: Peak, radius: int) -> Float[Tensor, "*batch side side"]:
    """The square patch of `2 radius + 1` cells a side that is centred on the peak.

    Off the map it repeats the cells of its border: see `off_map`.
    """
    h, w = heatmaps.shape[-2:]
    steps = torch.arange(-radius, radius + 1, device=heatmaps.device)
    rows = w * (peak.y[..., None] + steps).clamp(0, h - 1)
    index = rows[..., :, None] + (peak.x[..., None] + steps).clamp(0, w - 1)[..., None, :]
    values = heatmaps.flatten(-2).gather(-1, index.flatten(-2))
    return finite(precise(values)).view(*peak.x.shape, len(steps), len(steps))


def off_map(heatmaps: Heatmaps, peak: Peak, radius: int) -> Bool[Tensor, "*batch side side"]:
    """Which cells of `around` lie off the map."""
    h, w = heatmaps.shape[-2:]
    steps = torch.arange(-radius, radius + 1, device=heatmaps.device)
    x, y = peak.x[..., None] + steps, peak.y[..., None] + steps
    return ((y < 0) | (y >= h))[..., :, None] | ((x < 0) | (x >= w))[..., None, :]


def _box_sums(values: Float[Tensor, "*any"], kernel: int, dim: int) -> Float[Tensor, "*less"]:
    """Sums of `kernel` neighbours along an axis."""
    places = values.shape[dim] - kernel + 1
    sums = values.narrow(dim, 0, places)
    for i in range(1, kernel):
        sums = sums + values.narrow(dim, i, places)
    return sums


def best_window(heatmaps: Heatmaps, peak: Peak, kernel: int) -> Window:
    """The `kernel x kernel` window with the largest sum, among those that lie in the map and hold the peak.

    Ties go to the first window in row-major order.

    Raises:
        ValueError: if no window of that side lies in the map, or it is a single cell.
    """
    h, w = heatmaps.shape[-2:]
    if not 2 <= kernel <= min(h, w):
        raise ValueError(f"kernel={kernel} must be at least 2 and fit into a map of {w}x{h} cells (w x h)")
    patch = around(heatmaps, peak, kernel - 1)
    sums = _box_sums(_box_sums(patch.detach(), kernel, -2), kernel, -1)
    steps = torch.arange(kernel**2, device=heatmaps.device)
    i, j = steps // kernel, steps % kernel
    x, y = peak.x[..., None] + (j + 1 - kernel), peak.y[..., None] + (i + 1 - kernel)
    fits = (y >= 0) & (y <= h - kernel) & (x >= 0) & (x <= w - kernel)
    best = torch.where(fits, sums.flatten(-2), -math.inf).max(-1, keepdim=True).indices
    side = 2 * kernel - 1
    index = side * (best // kernel) + best % kernel + (side * i + j)
    responses = patch.flatten(-2).gather(-1, index) / scale(peak)[..., None]
    return Window(x.gather(-1, best).squeeze(-1), y.gather(-1, best).squeeze(-1), responses)


def squared_ranges(
    responses: Float[Tensor, "*batch cells"], sigma: float, kernel: int
) -> Float[Tensor, "*batch cells"]:
    """`d^2 = -2 sigma^2 ln(p / peak)` of a window: squared ranges less that of the peak, in cells^2.

    Only differences of `d^2` enter the solvers that call this, so the amplitude cancels and nothing is
    clipped at 1. A cell too low for any landmark within `OFF_MAP` sigmas of the map (a zero, a negative,
    noise) counts as the lowest possible: its range is wrong, but stays bounded.
    """
    off = 0.5 + OFF_MAP * sigma  # beyond the centre of a border cell
    furthest = 2 * ((off + kernel - 1) ** 2 - off**2)  # on both axes: the corner of the map
    floor = max(math.exp(-furthest / (2 * sigma**2)), 1e-30)  # a tiny sigma's floor is 0
    return -2 * sigma**2 * responses.clamp_min(floor).log()


def reading(
    heatmaps: Heatmaps, peak: Peak, x: Float[Tensor, "*batch"], y: Float[Tensor, "*batch"]
) -> tuple[Points, Scores]:
    """The points with their scores; where a map has no positive cell, its centre and 0."""
    h, w = heatmaps.shape[-2:]
    readable = peak.value > 0
    x = torch.where(readable, x, (w - 1) / 2)
    y = torch.where(readable, y, (h - 1) / 2)
    return torch.stack((x, y), -1), peak.value.clamp(0, 1)
