"""Plots of errors: cumulative, by heatmap size, by landmark, by epoch, by the boxes' error. Figures, never pyplot."""

import io
import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from jaxtyping import Complex, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from keyposs.markup import Markup

Curve = Mapping[int, float]
"""A value by epoch, the first of which is 1."""

Line = Mapping[float, float]
"""A value by another."""

Band = Mapping[float, tuple[float, float, float]]
"""An NME in percent with the ends of its interval, by another value."""

STYLES = cycler(linestyle=["-", "--", ":"]) * cycler(
    color=["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000", "#8c6d31"]
)
"""Of decoders in their order: colours that the colour-blind tell apart (Okabe and Ito), then dashes."""

COLUMNS = 3
"""Panels beside each other."""

REPRODUCIBLE: Any = {"svg.hashsalt": "keyposs", "path.simplify_threshold": 0.2}


def draw(figure: Figure) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a matplotlib figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[:, :, :3])


def png(figure: Figure) -> bytes:
    """A figure as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def svg(figure: Figure) -> bytes:
    """A figure as SVG: the same bytes for the same figure."""
    file = io.BytesIO()
    with matplotlib.rc_context(REPRODUCIBLE):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def ced(errors: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """The steps of the cumulative error distribution: from each x on, the share y of errors up to x.

    A NaN is an error that no x reaches. The area under the steps up to t is `mean(max(0, t - e))`, so that
    AUC@t is this area over t.

    >>> ced(np.array([0.3, 0.1, np.nan, 0.1]))
    (array([0. , 0.1, 0.3]), array([0.  , 0.5 , 0.75]))
    """
    x, count = np.unique(errors[np.isfinite(errors)], return_counts=True)
    return np.concatenate([[0.0], x]), np.concatenate([[0.0], np.cumsum(count) / len(errors)])


def ced_figure(panels: Mapping[str, Mapping[str, Float[np.ndarray, " n"]]], *, threshold: float, norm: str) -> Figure:
    """The CED of each decoder up to the threshold of FR and AUC, a panel for each title.

    Args:
        panels: title -> decoder -> each face's NME as a fraction of its norm.
        threshold: a fraction of the norm.
        norm: the normaliser's name, for the axis.
    """
    figure, axes = panels_of(panels, (5.4, 4.6))
    styles = _styles(panels.values())
    for ax, errors in zip(axes, panels.values(), strict=True):
        for decoder, of_faces in errors.items():
            x, y = ced(of_faces)
            area = np.mean(np.maximum(0, 1 - np.nan_to_num(of_faces, nan=np.inf) / threshold))
            failures = 100 * np.mean(~(of_faces <= threshold))
            limit = max(100 * threshold, 100 * x[-1])
            label = f"{decoder}: FR {failures:.1f}, AUC {area:.3f}"
            steps = [*(100 * x), limit], [*(100 * y), 100 * y[-1]]
            ax.step(*steps, where="post", label=label, **styles[decoder])
        ax.set(xlim=(0, 100 * threshold), ylim=(0, 100), xlabel=f"NME, % of {norm}")
        ax.set(ylabel="faces with at most this error, %")
        finish(ax, loc="upper center", bbox_to_anchor=(0.45, -0.16), ncols=2, handlelength=1, columnspacing=1)
    return figure


def trend_figure(panels: Mapping[str, Mapping[str, Band]], *, norm: str, against: str, marks: Line) -> Figure:
    """NME of each decoder against something that grows with the heatmap, on logarithmic axes.

    Args:
        panels: title -> decoder -> NME with its interval, by x.
        norm: the normaliser's name, for the axis.
        against: what x is, for the axis.
        marks: the heatmap size that stands at an x; a network without maps has none.
    """
    figure, axes = panels_of(panels, (5.2, 4.2), share=True)
    styles = _styles(panels.values())
    for ax, decoders in zip(axes, panels.values(), strict=True):
        for decoder, band in decoders.items():
            x = sorted(band)
            middle, low, high = np.array([band[at] for at in x]).T
            ax.plot(x, middle, marker="o", markersize=3.5, label=decoder, **styles[decoder])
            ax.fill_between(x, low, high, color=styles[decoder]["color"], alpha=0.15, linewidth=0)
        ax.set(xscale="log", yscale="log", xlabel=against, ylabel=f"NME, % of {norm}")
        ax.xaxis.set_minor_locator(NullLocator())
        shown = sorted({at for band in decoders.values() for at in band})
        ax.set_xticks(shown, [_tick(at, marks.get(at)) for at in shown])
        _log_ticks(ax)
        ax.label_outer()
        finish(ax)
    return figure


def landmarks_figure(
    panels: Mapping[str, Float[np.ndarray, " k"]], mean: Complex[np.ndarray, " k"], markup: Markup, *, norm: str
) -> Figure:
    """Each landmark's mean error as the colour of its dot on the mean face; none where nothing is known of it.

    Args:
        panels: title -> errors in percent of the norm.
        mean: the mean face, x + iy.
        markup: whose contours are drawn.
        norm: the normaliser's name, for the colours.
    """
    figure, axes = panels_of(panels, (4.4, 3.8))
    known = np.concatenate([errors[np.isfinite(errors)] for errors in panels.values()])
    scale = Normalize(*(known.min(), known.max()) if len(known) else (0, 1))  # the same for all, to compare
    for ax, errors in zip(axes, panels.values(), strict=True):
        for contour in markup.contours:
            run = [*contour.points, contour.points[0]] if contour.closed else [*contour.points]
            ax.plot(mean.real[run], mean.imag[run], color="0.75", linestyle="-", linewidth=1, zorder=0)
        order = np.argsort(errors)  # the worst on top
        x, y = mean.real[order], mean.imag[order]
        ax.scatter(x, y, c=errors[order], norm=scale, s=34, cmap="viridis_r", edgecolors="0.2", linewidths=0.5)
        ax.set_aspect("equal")
        ax.invert_yaxis()
        ax.set_axis_off()
    colours = ScalarMappable(scale, "viridis_r")
    figure.colorbar(colours, ax=list(axes), label=f"mean error, % of {norm}", shrink=0.8)
    return figure


def training_figure(loss: Curve, errors: Mapping[str, Curve], *, norm: str) -> Figure:
    """Loss in training and NME in validation against the epoch, on logarithmic axes.

    A loss that falls to 0 or below, as a log-likelihood may, is drawn on a linear axis.

    Args:
        loss: of training.
        errors: per decoder, NME in percent.
        norm: the normaliser's name, for the axis.
    """
    figure, (left, right) = panels_of(["Training", "Validation"], (5.2, 4.0))
    left.plot([*loss], [*loss.values()], color="0.25", label="train/loss", **_marks(loss))
    left.set(xlabel="epoch", ylabel="loss", yscale="log" if min(loss.values(), default=1) > 0 else "linear")
    styles = _styles([errors])
    for decoder, curve in errors.items():
        right.plot([*curve], [*curve.values()], label=decoder, **_marks(curve), **styles[decoder])
    right.set(xlabel="epoch", ylabel=f"NME, % of {norm}", yscale="log")
    _log_ticks(right)
    for ax in (left, right):
        finish(ax)
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
    styles = _styles(decoders for kinds in panels.values() for decoders in kinds.values())
    for axes, (subset, kinds) in zip(grid, panels.items(), strict=True):
        for ax, (kind, decoders) in zip(axes, kinds.items(), strict=True):
            for decoder, line in decoders.items():
                ax.plot([*line], [*line.values()], marker="o", markersize=3, label=decoder, **styles[decoder])
            ax.set(title=f"{subset}: {kind}", xlabel="boxes off by up to, % of their side")
            finish(ax)
        axes[0].set(ylabel=f"NME, % of {norm}", ylim=(0, None))
    return figure


def panels_of(titles: Collection[str], size: tuple[float, float], *, share: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with a panel of some inches for each title, in rows."""
    columns = min(COLUMNS, len(titles))
    rows = -(-len(titles) // columns)
    figure = Figure((size[0] * columns, size[1] * rows), dpi=120, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=share).flat)
    for ax in axes[len(titles) :]:
        ax.remove()
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(title, fontsize="medium", parse_math=False)
    return figure, axes[: len(titles)]


def _styles(panels: Iterable[Mapping[str, object]]) -> dict[str, dict[str, Any]]:
    """A colour and a dash for each decoder, the same in all panels."""
    decoders = dict.fromkeys(decoder for panel in panels for decoder in panel)
    return dict(zip(decoders, itertools.cycle(STYLES), strict=False))


def _tick(at: float, size: float | None) -> str:
    """A heatmap size, below the value at which it stands where that is another; without one, the value."""
    if size is None:
        return f"{at:.3g}"
    return f"{size:.0f}²" if at == size else f"{at:.3g}\n{size:.0f}²"


def _log_ticks(ax: Axes) -> None:
    """Plain numbers at enough places of a logarithmic axis of errors."""
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _marks(curve: Curve) -> dict[str, Any]:
    """A single value makes no line: it needs a mark."""
    return {"marker": "o"} if len(curve) == 1 else {}


def finish(ax: Axes, **legend: Any) -> None:
    """The last of a panel: a light grid, no frame, and the legend of its lines."""
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_lines():
        for text in ax.legend(frameon=False, fontsize="small", **legend).get_texts():
            text.set_parse_math(False)
