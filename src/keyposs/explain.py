"""How a method came by its points, as pictures: for each codec what it has to show."""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from keyposs import viz
from keyposs.attention import Look, attention
from keyposs.codecs import Cascade, CascadeOutput, Codec, DistanceMap
from keyposs.decoders._anchors import best_window, find_peak, squared_ranges
from keyposs.grid import Grid
from keyposs.markup import Markup
from keyposs.plots import draw


class Seen(NamedTuple):
    """One face and what was found on it, in pixels of its crop."""

    image: viz.Picture
    keypoints: Float[np.ndarray, "k 2"]
    points: Float[np.ndarray, "k 2"]
    norm: float  # the normaliser of its error
    markup: Markup


@singledispatch
def explain(codec: Codec, output: Any, face: Seen) -> Mapping[str, viz.Picture]:
    """Pictures of how a codec found a face's points, by the names of their files; none where it has none.

    Args:
        codec: which reads the output.
        output: of a batch, whose first face this is.
        face: what was found.
    """
    return {}


@explain.register
def _(codec: DistanceMap, output: torch.Tensor, face: Seen) -> Mapping[str, viz.Picture]:
    """Six landmarks' maps with anchors and range circles; none of maps that were not trained to tell ranges."""
    if codec.activation == "softmax":
        return {}
    kernel = getattr(codec.decoders.get("multilateration"), "keywords", {}).get("kernel", 2)
    maps = codec.maps(output[:1])[0].double().cpu().numpy()
    chosen = np.linspace(0, len(maps) - 1, 6).astype(int).tolist()
    images = [
        distance_map(
            face.image,
            maps[k],
            codec.grid,
            sigma=codec.sigma,
            kernel=kernel,
            keypoint=face.keypoints[k],
            point=face.points[k],
            name=face.markup.names[k],
        )
        for k in chosen
    ]
    return {"distance_maps": viz.sheet(images, columns=3)}


@explain.register
def _(codec: Cascade, output: CascadeOutput, face: Seen) -> Mapping[str, viz.Picture]:
    """The patches of each stage that was run, by their attention."""
    centres, seen, points = (
        part[:, 0].double().cpu().numpy() for part in (output.centres, output.attention, output.points)
    )
    estimates = output.errors[:, 0].tolist()
    looks = [Look(centres[i], codec.sides[i], seen[i], points[i], estimates[i]) for i in range(int(output.stages[0]))]
    return {"patch_attention": attention(face.image, looks, keypoints=face.keypoints, norm=face.norm)}


def distance_map(
    image: viz.Picture,
    heatmap: Float[np.ndarray, "hh ww"],
    grid: Grid,
    *,
    sigma: float,
    kernel: int,
    keypoint: Float[np.ndarray, "2"],
    point: Float[np.ndarray, "2"],
    name: str = "",
) -> viz.Picture:
    """How one landmark is found, as in the paper's Figure 6: distance map, anchors and range circles.

    Args:
        image: the crop.
        heatmap: the predicted distance map.
        grid: of crop and map.
        sigma: of the map, in cells.
        kernel: side of the anchor window, in cells.
        keypoint: ground truth in pixels of the crop.
        point: prediction in pixels of the crop.
        name: of the landmark, for the title.

    Returns:
        Two panels: the whole crop, and the anchors enlarged with a circle of each anchor's range.
    """
    anchors, radii = ranges(heatmap, sigma=sigma, kernel=kernel)
    stations = grid.to_pixels(torch.from_numpy(anchors)).numpy()
    figure = Figure((7.2, 3.9), dpi=100, layout="constrained")
    error = np.linalg.norm(point - keypoint)
    off = f"{error:.1f} px = {error / grid.stride:.2f} cells off"
    figure.suptitle(f"{name}: {off}" if name else off, parse_math=False)
    whole, near = figure.subplots(1, 2)
    for ax in (whole, near):
        _lay_over(ax, image, heatmap)
    x0, x1, y1, y0 = _view(stations, radii * grid.stride, np.stack([keypoint, point]), max(image.shape))
    whole.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=1.2))
    near.set(xlim=(x0, x1), ylim=(y1, y0))
    for station, radius in zip(stations, radii * grid.stride, strict=True):
        near.add_patch(Circle(tuple(station), radius, fill=False, edgecolor=viz.unit(viz.RANGE), linewidth=1.8))
    near.plot(*stations.T, "s", color=viz.unit(viz.ANCHOR), markeredgecolor="white", markersize=6)
    for ax, size in ((whole, 5), (near, 8)):
        ax.plot(*keypoint, "o", color=viz.unit(viz.TRUTH), markeredgecolor="black", markersize=size + 2)
        ax.plot(*point, "o", color=viz.unit(viz.POINT), markeredgecolor="black", markersize=size)
    return draw(figure)


def ranges(
    heatmap: Float[np.ndarray, "hh ww"], *, sigma: float, kernel: int
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """The anchors that multilateration takes and their ranges `sqrt(max(0, -2 sigma^2 ln p))`, in cells."""
    maps = torch.from_numpy(heatmap)
    peak = find_peak(maps)
    window = best_window(maps, peak, kernel)
    steps = torch.arange(kernel**2)
    anchors = torch.stack((window.x + steps % kernel, window.y + steps // kernel), -1)
    amplitude = torch.where(peak.value > 0, peak.value, 1.0)  # squared_ranges leaves it out
    squared = squared_ranges(window.responses, sigma, kernel) - 2 * sigma**2 * amplitude.log()
    return anchors.double().numpy(), squared.clamp_min(0).sqrt().double().numpy()


def _lay_over(ax: Axes, image: viz.Picture, heatmap: Float[np.ndarray, "hh ww"]) -> None:
    """The crop in grey with the map's cells over it, the more opaque the nearer the landmark."""
    h, w = image.shape[:2]
    extent = (-0.5, w - 0.5, h - 0.5, -0.5)  # the map ends where the crop ends
    values = np.clip(np.nan_to_num(heatmap), 0, 1)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    ax.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="bicubic")
    ax.imshow(values, cmap="viridis", vmin=0, vmax=1, alpha=0.7 * np.sqrt(values), extent=extent)
    ax.set(xticks=[], yticks=[], facecolor="0.15", xlim=extent[:2], ylim=extent[2:], autoscale_on=False)


def _view(
    stations: Float[np.ndarray, "n 2"],
    radii: Float[np.ndarray, " n"],
    points: Float[np.ndarray, "m 2"],
    side: int,
) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of a square that holds circles and points, but hardly more than the crop."""
    x, y = stations.mean(0)
    reach = np.linalg.norm(stations - (x, y), axis=-1) + radii
    away = np.linalg.norm(points[np.isfinite(points).all(-1)] - (x, y), axis=-1)
    half = float(min(1.1 * max([*reach, *away]), 0.75 * side))
    return x - half, x + half, y + half, y - half
