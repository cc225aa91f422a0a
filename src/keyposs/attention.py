"""What the stages of a cascade looked at, as a picture: their patches on the face, coloured by attention."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keyposs import viz
from keyposs.plots import draw

Real = float | int


class Look(NamedTuple):
    """What one stage saw of a face, and what it made of it; positions are pixels of the crop."""

    centres: Float[np.ndarray, "m 2"]  # of its patches
    side: Real  # of its patches
    attention: Float[np.ndarray, " m"]  # of each patch, in 0..1
    points: Float[np.ndarray, "k 2"]
    estimate: Real  # of the error of these points, a fraction of the norm


def attention(
    image: viz.Picture, looks: Sequence[Look], *, keypoints: Float[np.ndarray, "k 2"], norm: Real
) -> viz.Picture:
    """The stages side by side: patches where they were cut, and the points that came of them.

    Args:
        image: the crop.
        looks: of each stage that was run.
        keypoints: ground truth in pixels of the crop; NaN where there is none.
        norm: the normaliser of errors, in pixels of the crop.

    Returns:
        A panel for each stage, with a scale of colours of its own. Its title compares the stage's estimate with the
        error that it estimates, the mean of `|dx| + |dy|` over the norm. Ground truth is green, points are red.
    """
    figure = Figure((3.6 * len(looks), 4.6), dpi=100, layout="constrained")
    axes = figure.subplots(1, len(looks), squeeze=False)[0]
    for i, (ax, look) in enumerate(zip(axes, looks, strict=True)):
        _lay_under(ax, image)
        colours = ScalarMappable(Normalize(look.attention.min(), look.attention.max()), "plasma")
        _patches(ax, look, colours)
        for points, colour in ((keypoints, viz.TRUTH), (look.points, viz.POINT)):
            ax.plot(*points.T, "o", color=viz.unit(colour), markersize=2.5, linestyle="none")
        error, estimate = 100 * l1(look.points, keypoints) / norm, 100 * look.estimate
        ax.set_title(f"stage {i + 1}: error {error:.1f} %, estimated {estimate:.1f} %", fontsize="medium")
        figure.colorbar(colours, ax=ax, location="bottom", label="mean attention of a patch", shrink=0.9)
    return draw(figure)


def l1(points: Float[np.ndarray, "k 2"], keypoints: Float[np.ndarray, "k 2"]) -> float:
    """Mean of `|dx| + |dy|`; a keypoint of NaN does not count; NaN where none does.

    >>> l1(np.array([[3.0, -4.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [np.nan, np.nan]]))
    7.0
    """
    distance = np.abs(points - keypoints).sum(-1)
    seen = distance[~np.isnan(keypoints).any(-1)]
    return float(seen.mean()) if len(seen) else float("nan")


def _lay_under(ax: Axes, image: viz.Picture) -> None:
    """The crop in pale grey, for colours to stand out."""
    h, w = image.shape[:2]
    ax.imshow(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cmap="gray", vmin=0, vmax=255, alpha=0.7)
    ax.set(xticks=[], yticks=[], xlim=(-0.5, w - 0.5), ylim=(h - 0.5, -0.5), autoscale_on=False)


def _patches(ax: Axes, look: Look, colours: ScalarMappable) -> None:
    """Squares and their centres, those of the most attention on top."""
    order = np.argsort(look.attention)
    for centre, colour in zip(look.centres[order], colours.to_rgba(look.attention[order]), strict=True):
        x, y = centre - look.side / 2
        ax.add_patch(Rectangle((x, y), look.side, look.side, fill=False, edgecolor=colour, linewidth=0.9))
        ax.plot(*centre, "s", color=colour, markersize=3.5)
