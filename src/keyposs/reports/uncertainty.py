"""How well a network knows its errors: told covariances against true errors, and what refusing unsure ones gains."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from keyposs import plots
from keyposs.reports.ranking import auroc, spearman

FORMATS = {
    "faces": ".0f",
    "NME": ".2f",
    "RMS z": ".2f",
    "in 50 %, %": ".1f",
    "in 90 %, %": ".1f",
    "Spearman, points": ".2f",
    "Spearman, faces": ".2f",
    "AUROC, failures": ".2f",
    "AUROC, covered": ".2f",
    "NME without the worst 10 %": ".2f",
}

NOTE = (
    "RMS z: root mean square of the errors in standard deviations, 1 where they are honest; in 50 and 90 %: points "
    "inside their ellipses of these probabilities; Spearman: of error and standard deviation; AUROC: of a face's mean "
    "standard deviation as a sign of failure, and of a point's as a sign that a box put on the face covers it; "
    "NME without the worst 10 %: of the points that are told to be the surest"
)

REFUSED = np.linspace(0, 0.9, 91)
"""Shares of a curve."""


class Told(NamedTuple):
    """What was told of `n` faces with `k` points, and what is true."""

    errors: Float[np.ndarray, "n k 2"]  # of the points, pixels
    covariances: Float[np.ndarray, "n k 2 2"]  # pixels squared
    scores: Float[np.ndarray, "n k"]
    visible: Bool[np.ndarray, "n k"]  # annotated; at least one of each face
    norm: Float[np.ndarray, " n"]  # of each face, pixels
    covered: Bool[np.ndarray, "n k"]  # by a box that was put on the face before it was read once more
    then: Float[np.ndarray, "n k 2 2"]  # covariances told that time

    @property
    def off(self) -> Float[np.ndarray, "n k"]:
        """Each point's error over its face's norm; NaN where it is not annotated."""
        return np.where(self.visible, np.linalg.norm(self.errors, axis=-1) / self.norm[:, None], np.nan)

    @property
    def deviation(self) -> Float[np.ndarray, "n k"]:
        """Each point's standard deviation over its face's norm; NaN where it is not annotated."""
        return np.where(self.visible, deviation(self.covariances) / self.norm[:, None], np.nan)


def deviation(covariances: Float[np.ndarray, "*batch 2 2"]) -> Float[np.ndarray, "*batch"]:
    """The root of the mean squared distance that a covariance stands for."""
    return np.sqrt(np.trace(covariances, axis1=-2, axis2=-1))


def agreement(told: Told, limit: float) -> dict[str, float | None]:
    """A value for each of `FORMATS`; None for a correlation where one side is constant, or an AUROC of one kind.

    Args:
        told: of a split's faces.
        limit: above this NME, a fraction, a face is a failure.
    """
    seen = told.visible
    squared = np.einsum("nki,nkij,nkj->nk", told.errors, np.linalg.inv(told.covariances), told.errors)[seen]
    off, unsure = told.off, told.deviation
    of_faces, unsure_of_faces = np.nanmean(off, axis=1), np.nanmean(unsure, axis=1)
    return {
        "faces": len(off),
        "NME": 100 * float(of_faces.mean()),
        "RMS z": float(np.sqrt(squared.mean() / 2)),  # of each axis
        **{f"in {p} %, %": 100 * float((squared < -2 * np.log(1 - p / 100)).mean()) for p in (50, 90)},
        "Spearman, points": spearman(off[seen], unsure[seen]),
        "Spearman, faces": spearman(of_faces, unsure_of_faces),
        "AUROC, failures": auroc(unsure_of_faces, of_faces > limit),
        "AUROC, covered": auroc(deviation(told.then)[seen], told.covered[seen]),
        "NME without the worst 10 %": 100 * float(kept(off[seen], unsure[seen], np.array([0.1]))[0]),
    }


def kept(
    errors: Float[np.ndarray, " n"], unsure: Float[np.ndarray, " n"], refused: Float[np.ndarray, " m"] = REFUSED
) -> Float[np.ndarray, " m"]:
    """The mean error of what is kept when so large a share, the most unsure first, is refused.

    >>> kept(np.array([1.0, 2.0, 3.0, 8.0]), np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 0.25, 0.5]))
    array([3.5, 2. , 1.5])
    """
    ordered = errors[np.argsort(unsure, kind="stable")]
    mean = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    return mean[np.ceil((1 - refused) * len(ordered) - 1e-9).astype(int) - 1]


def refusal_figure(runs: dict[str, Told]) -> Figure:
    """For each run the error of the points, and of the faces, that are kept as more of the unsure ones are refused.

    By what is told, by scores, and, as the limit of what can be gained, by the errors themselves.
    """
    panels = {f"{name}: {kind}": _curves(told, kind) for kind in ("points", "faces") for name, told in runs.items()}
    figure, axes = plots.panels_of(panels, (4.6, 3.8))
    for ax, curves in zip(axes, panels.values(), strict=True):
        for label, errors in curves.items():
            ax.plot(100 * REFUSED, 100 * errors, label=label)
        ax.set(xlabel="refused, %", ylabel="NME of the others, %", ylim=(0, None))
        plots.finish(ax)
    return figure


def _curves(told: Told, kind: str) -> dict[str, Float[np.ndarray, " m"]]:
    off, seen = told.off, told.visible
    signs = {"by covariance": told.deviation, "by score": np.where(seen, -told.scores, np.nan), "by error": off}
    if kind == "faces":
        return {label: kept(np.nanmean(off, 1), np.nanmean(sign, 1)) for label, sign in signs.items()}
    return {label: kept(off[seen], sign[seen]) for label, sign in signs.items()}
