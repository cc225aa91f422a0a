"""Curves: training, the cumulative error distribution (CED), and robustness. Figures, never pyplot."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, ScalarFormatter

Curve = Mapping[int, float]
"""A value by epoch, the first of which is 1."""

Line = Mapping[float, float]
"""A value by another."""


def draw(figure: Figure) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a matplotlib figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[:, :, :3])


def ced(errors: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """The steps of the cumulative error distribution: from each x on, the share y of errors up to x.

    A NaN is an error that no x reaches. The area under the steps up to t is `mean(max(0, t - e))`, so that
    AUC@t is this area over t.

    >>> ced(np.array([0.3, 0.1, np.nan, 0.1]))
    (array([0. , 0.1, 0.3]), array([0.  , 0.5 , 0.75]))
    """
    x, count = np.unique(errors[np.isfinite(errors)], return_counts=True)
    return np.concatenate([[0.0], x]), np.concatenate([[0.0], np.cumsum(count) / len(errors)])


def ced_figure(errors: Mapping[str, Float[np.ndarray, " n"]], *, threshold: float, norm: str, title: str) -> Figure:
    """The CED of each decoder up to the threshold of AUC.

    Args:
        errors: per decoder, each face's NME as a fraction of its norm.
        threshold: of AUC, a fraction of the norm.
        norm: the normaliser's name, for the axis.
        title: what was tested.
    """
    figure = Figure((6.4, 4.4), dpi=120, layout="constrained")
    ax = figure.add_subplot()
    limit = 100 * threshold
    for decoder, of_faces in errors.items():
        x, y = ced(of_faces)
        area = np.mean(np.maximum(0, 1 - np.nan_to_num(of_faces, nan=np.inf) / threshold))
        label = f"{decoder}  AUC {area:.3f}"
        ax.step([*(100 * x), max(limit, 100 * x[-1])], [*(100 * y), 100 * y[-1]], where="post", label=label)
    ax.set(xlim=(0, limit), ylim=(0, 100), title=title)
    ax.set(xlabel=f"NME, % of {norm}", ylabel="faces with at most this error, %")
    _finish(ax)
    return figure


def training_figure(loss: Curve, errors: Mapping[str, Curve], *, norm: str) -> Figure:
    """Loss in training and NME in validation against the epoch, on logarithmic axes.

    Args:
        loss: of training.
        errors: per decoder, NME in percent.
        norm: the normaliser's name, for the axis.
    """
    figure = Figure((10, 4), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([*loss], [*loss.values()], color="0.25", label="train/loss", **_marks(loss))
    left.set(xlabel="epoch", ylabel="loss", yscale="log", title="Training")
    for decoder, curve in errors.items():
        right.plot([*curve], [*curve.values()], label=decoder, **_marks(curve))
    right.set(xlabel="epoch", ylabel=f"NME, % of {norm}", yscale="log", title="Validation")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    right.yaxis.set_major_formatter(ScalarFormatter())
    right.yaxis.set_minor_locator(LogLocator(subs=()))
    for ax in (left, right):
        _finish(ax)
    return figure


def robustness_figure(panels: Mapping[str, Mapping[str, Mapping[str, Line]]], *, norm: str) -> Figure:
    """NME against the error of the boxes: a row of panels for each subset, a panel for each kind of error.

    Args:
        panels: subset -> kind of error -> decoder -> NME in percent by level in percent.
        norm: the normaliser's name, for the axis.
    """
    rows, columns = len(panels), max(map(len, panels.values()))
    figure = Figure((3.4 * columns, 3.2 * rows), dpi=120, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey="row")
    for axes, (subset, kinds) in zip(grid, panels.items(), strict=True):
        for ax, (kind, decoders) in zip(axes, kinds.items(), strict=True):
            for decoder, line in decoders.items():
                ax.plot([*line], [*line.values()], marker="o", markersize=3, label=decoder)
            ax.set(title=f"{subset}: {kind}", xlabel="boxes off by up to, % of their side")
            _finish(ax)
        axes[0].set(ylabel=f"NME, % of {norm}", ylim=(0, None))
    return figure


def _marks(curve: Curve) -> dict[str, str]:
    """A single value makes no line: it needs a mark."""
    return {"marker": "o"} if len(curve) == 1 else {}


def _finish(ax: Axes) -> None:
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_lines():
        ax.legend(frameon=False, fontsize="small")
