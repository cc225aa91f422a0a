"""`keyposs.crop` for all faces of a photo at once, in tensor operations: for graphs that take whole photos, and GPUs.

As there, blocks of pixels are averaged where a crop is smaller than half of the photo's scale. Their sums come from one
integral image, so a large photo is read once, however many faces are on it.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from keyposs.crop import canonical_size


class Axis(NamedTuple):
    """Where the crops look along one axis of the photo."""

    edges: Int[Tensor, "n e"]  # pixels at which blocks begin; the last one is where they end
    taps: Int[Tensor, "n s 2"]  # the two blocks that a pixel of a crop lies between
    weights: Float[Tensor, "n s 2"]  # of a pixel of these; none outside the photo


def cut_all(
    photo: UInt8[Tensor, "h w 3"], boxes: Float[Tensor, "n 4"], *, image_size: int, padding: float
) -> tuple[UInt8[Tensor, "n 3 s s"], Float[Tensor, "n 2 3"]]:
    """The crops of the faces of a photo, and the matrices from their pixels to the photo's.

    Pixels are those of `keyposs.pictures.cut`, give or take a grey level, as the mean of a block is not rounded; at the
    photo's far edges a block that reaches out is the mean of what is there.

    Args:
        photo: RGB.
        boxes: x0, y0, x1, y1 in pixels of the photo, of positive size.
        image_size: side of a crop.
        padding: a crop's side over the longer side of its face's box.
    """
    boxes = boxes.double()
    scale = image_size / (padding * (boxes[:, 2:] - boxes[:, :2]).amax(1))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    columns, rows = (
        _axis(scale, centre[:, i], length, image_size) for i, length in ((0, photo.shape[1]), (1, photo.shape[0]))
    )
    sums = _sums(photo, columns.edges, rows.edges)
    crops = _along_columns(_along_rows(sums, rows), columns)
    corner = centre - ((image_size - 1) / 2 / scale)[:, None]
    zero = torch.zeros_like(scale)
    matrices = torch.stack([1 / scale, zero, corner[:, 0], zero, 1 / scale, corner[:, 1]], 1).unflatten(1, (2, 3))
    return crops.permute(0, 3, 1, 2).round().to(torch.uint8), matrices.float()


def _axis(scale: Float[Tensor, " n"], centre: Float[Tensor, " n"], length: int | torch.SymInt, size: int) -> Axis:
    """Blocks begin where those of the wider crop do that training draws on, whose middle the crop is."""
    wide = canonical_size(size)
    shrink = (1 / scale).floor().clamp(1, length)
    low, high = ((at - (wide - 1) / 2) / scale + centre for at in (-1, wide))  # pixels just outside the wider crop
    start = (low.floor() - shrink).clamp(0, length - 1)
    end = torch.maximum((high.ceil() + shrink).clamp(1, length), start + 1)
    count = ((end - start) / shrink).ceil()

    seen = torch.arange(size, device=scale.device, dtype=torch.float64) - (size - 1) / 2
    at = (seen / scale[:, None] + (centre - start - (shrink - 1) / 2)[:, None]) / shrink[:, None]  # in blocks
    taps = torch.stack([at.floor(), at.floor() + 1], -1)
    weights = 1 - (at[..., None] - taps).abs()
    inside = (taps >= 0) & (taps < count[:, None, None])
    first = torch.minimum(taps[:, 0, 0].clamp(min=0), count - 1)[:, None]
    number = torch.arange(2 * size + 4, device=scale.device, dtype=torch.float64)
    edges = torch.minimum(start[:, None] + (first + number) * shrink[:, None], end[:, None])
    near = (taps - first[..., None]).clamp(0, 2 * size + 2).long()
    pixels = edges.diff(dim=1).clamp(min=1).gather(1, near.flatten(1)).view_as(near)
    return Axis(edges.long(), near, (weights * inside / pixels).float())


def _sums(
    photo: UInt8[Tensor, "h w 3"], columns: Int[Tensor, "n ex"], rows: Int[Tensor, "n ey"]
) -> Float[Tensor, "n by bx 3"]:
    """The sum of each block.

    Sums up to a pixel go around where bright photos have more than 8 million, and their differences are right all the
    same.
    """
    sums = photo.int().cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32)
    sums = torch.nn.functional.pad(sums, (0, 0, 1, 0, 1, 0))
    corners = _pick(sums.flatten(0, 1), rows[:, :, None] * sums.shape[1] + columns[:, None, :])
    across = corners[:, :, 1:] - corners[:, :, :-1]
    return (across[:, 1:] - across[:, :-1]).float()


def _along_rows(blocks: Float[Tensor, "n by bx 3"], axis: Axis) -> Float[Tensor, "n s bx 3"]:
    """Linear interpolation between rows of blocks."""
    n, by, bx, _ = blocks.shape
    at = torch.arange(n, device=blocks.device)[:, None, None] * by + axis.taps
    lines = blocks.view(n * by, 3 * bx)
    near, far = (_pick(lines, at[..., i]) * axis.weights[..., i, None] for i in (0, 1))
    return (near + far).unflatten(-1, (bx, 3))


def _along_columns(blocks: Float[Tensor, "n s bx 3"], axis: Axis) -> Float[Tensor, "n s s 3"]:
    """Linear interpolation between columns of blocks."""
    n, s, bx, _ = blocks.shape
    at = torch.arange(n * s, device=blocks.device).view(n, s, 1, 1) * bx + axis.taps[:, None]
    weights = axis.weights[:, None, :, None].expand(-1, -1, -1, 3, -1)
    near, far = (_pick(blocks.flatten(0, 2), at[..., i]) * weights[..., i] for i in (0, 1))
    return near + far


def _pick(lines: Float[Tensor, "m c"] | Int[Tensor, "m c"], at: Int[Tensor, "n a b"] | Int[Tensor, "n a"]) -> Tensor:
    """Lines by their numbers: `lines[at]`, which graphs do many times slower."""
    return lines.index_select(0, at.flatten()).unflatten(0, at.shape)
