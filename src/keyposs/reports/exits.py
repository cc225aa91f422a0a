"""When the faces of a cascade stop: how many stages run below a threshold, what they cost, and how right they are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from keyposs.reports.ranking import auroc, spearman

APART = 1e-6
"""Estimates nearer than this are alike: a batch of another size changes their last bits."""

SWEEP = 41
"""Thresholds of a curve."""


class Stages(NamedTuple):
    """What each of `t` stages says of each of `n` faces, and how right it is, where no face stops early.

    All are fractions of a face's norm.
    """

    estimates: Float[np.ndarray, "t n"]
    errors: Float[np.ndarray, "t n"]  # which the estimates estimate: the mean of |dx| + |dy|
    nme: Float[np.ndarray, "t n"]

    def of(self, faces: Bool[np.ndarray, " n"]) -> "Stages":
        """Some of the faces."""
        return Stages(*(values[:, faces] for values in self))


def ran(estimates: Float[np.ndarray, "t n"], threshold: float) -> Int[np.ndarray, " n"]:
    """How many stages each face runs: up to the first whose estimate is below the threshold, else all.

    >>> ran(np.array([[0.1, 0.3, 0.3], [0.3, 0.1, 0.3], [0.1, 0.1, 0.3]]), 0.2)
    array([1, 2, 3])
    """
    return 1 + (~(np.fmin.accumulate(estimates[:-1]) < threshold)).sum(0)


def at(values: Float[np.ndarray, "t n"], last: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Each face's value after the last stage that it runs."""
    return values[last - 1, np.arange(len(last))]


def thresholds(estimates: Float[np.ndarray, "t n"]) -> Float[np.ndarray, " m"]:
    """One threshold for each way in which faces can stop, from 0, at which none does, to where all do at once.

    They lie midway between estimates, where no rounding changes who stops.
    """
    lowest = np.fmin.accumulate(estimates[:-1])
    values = np.unique(lowest[np.isfinite(lowest)])
    if not len(values):
        return np.zeros(1)
    low, high = values[:-1], values[1:]
    between = ((low + high) / 2)[high - low > APART]
    return np.array([0.0, *between, 2 * values[-1] + APART])


def mean_stages(estimates: Float[np.ndarray, "t n"], levels: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """The mean number of stages at each threshold: it never grows with the threshold."""
    lowest = np.sort(np.nan_to_num(np.fmin.accumulate(estimates[:-1]), nan=np.inf).ravel())
    return 1 + (len(lowest) - np.searchsorted(lowest, levels)) / estimates.shape[1]


def threshold_for(estimates: Float[np.ndarray, "t n"], wanted: float) -> float:
    """The threshold whose mean number of stages is nearest to the wanted one; of two as near, that of more stages."""
    levels = thresholds(estimates)
    off = np.abs(mean_stages(estimates, levels) - wanted)
    return float(levels[np.round(off, 9).argmin()])


def sweep(estimates: Float[np.ndarray, "t n"], also: float) -> list[float]:
    """Thresholds for a curve, evenly spread over the mean number of stages from all to 1, and one more."""
    spread = (threshold_for(estimates, wanted) for wanted in np.linspace(len(estimates), 1, SWEEP))
    return sorted({*spread, also})


def outcome(stages: Stages, threshold: float, macs: Sequence[int], limit: float) -> dict[str, Any]:
    """What comes of a threshold, in the mean of faces.

    Args:
        stages: of the faces.
        threshold: below which an estimate stops a face.
        macs: what the first stages cost together, for each number of them.
        limit: above this NME a face is a failure.

    Returns:
        `threshold`, `stages`, `macs`, `nme` and `fr` in percent, `stopped`, the share of faces whose last stage is the
        first, the second, and so on, and `nme_by_lot`: the NME if as many faces stopped there, but drawn by lot.
    """
    last = ran(stages.estimates, threshold)
    nme = at(stages.nme, last)
    stopped = np.bincount(last - 1, minlength=len(macs)) / len(last)
    return {
        "threshold": threshold,
        "stages": float(last.mean()),
        "macs": float(stopped @ np.array(macs, float)),
        "nme": 100 * float(nme.mean()),
        "fr": 100 * float((~(nme <= limit)).mean()),
        "stopped": stopped.tolist(),
        "nme_by_lot": 100 * float(stopped @ stages.nme.mean(1)),
    }


def flag_for(
    estimates: Float[np.ndarray, " n"], failed: Bool[np.ndarray, " n"], threshold: float, share: float | None = None
) -> float | None:
    """The estimate above which a face is reported as not found.

    It is no lower than the threshold: a face that stopped early was right enough.

    Args:
        estimates: of the faces' last stages.
        failed: which faces truly are failures.
        threshold: below which an estimate stops a face.
        share: of the faces to report; None: the value that best tells failures from the others, at which the share of
            failures found less the share of the others reported is the largest (Youden 1950).

    Returns:
        The value; None where it is to be told from the failures, but there are none, or none but they, or none of
        these values tells any.
    """
    values = np.unique(estimates[estimates >= threshold])
    levels = np.array([threshold, *(values[:-1] + values[1:]) / 2, *(values[-1:] + APART)])
    if share is not None:
        reported = (estimates > levels[:, None]).mean(1)
        return float(levels[np.round(np.abs(reported - share), 9).argmin()])
    if failed.all() or not failed.any():
        return None
    found = (estimates[failed] > levels[:, None]).mean(1) - (estimates[~failed] > levels[:, None]).mean(1)
    return float(levels[np.round(found, 9).argmax()]) if found.max() > APART else None


def why_no_flag(estimates: Float[np.ndarray, " n"], failed: Bool[np.ndarray, " n"], threshold: float) -> str:
    """Why `flag_for` finds no value for these faces, in words."""
    if not failed.any():
        return "none is a failure"
    if failed.all():
        return "all are failures"
    if (estimates < threshold).all():
        return "all stop early"
    return "the failures' estimates are no higher than the others'"


def alike(nme: Float[np.ndarray, "t n"], macs: Sequence[int], cost: float) -> Float[np.ndarray, " n"]:
    """Each face's NME in the mean, where no face is chosen, and all cost so much in the mean.

    All faces run a number of stages, and a share of them, drawn by lot, one more, so that the mean cost is met.

    >>> alike(np.array([[5.0, 9.0], [3.0, 7.0], [2.0, 2.0]]), [10, 20, 30], 15.0)
    array([4., 8.])
    """
    more = np.interp(cost, macs, np.arange(len(macs)))
    fewer = min(int(more), len(macs) - 2)
    return (1 - (more - fewer)) * nme[fewer] + (more - fewer) * nme[fewer + 1]


def of_stage(stages: Stages, i: int, limit: float) -> dict[str, Any]:
    """How right a stage is, and how well it knows, over all faces: `nme` in percent, `spearman`, `auroc`."""
    return {
        "nme": 100 * float(stages.nme[i].mean()),
        "spearman": spearman(stages.estimates[i], stages.errors[i]),
        "auroc": auroc(stages.estimates[i], ~(stages.nme[i] <= limit)),
    }


def of_last(stages: Stages, threshold: float, limit: float) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Each face's estimate after the last stage that it runs, and whether it is a failure."""
    last = ran(stages.estimates, threshold)
    return at(stages.estimates, last), ~(at(stages.nme, last) <= limit)


def of_flag(
    estimates: Float[np.ndarray, " n"], failed: Bool[np.ndarray, " n"], failure: float | None
) -> dict[str, Any]:
    """What a failure flag tells.

    Returns:
        How many `faces` there are, how many are `flagged`, how many are `failures`, and how many are both, `caught`;
        and `auroc` of the estimates, see `auroc`.
    """
    up = estimates > (np.inf if failure is None else failure)
    counts = {"faces": up.size, "flagged": up.sum(), "failures": failed.sum(), "caught": (up & failed).sum()}
    return {name: int(count) for name, count in counts.items()} | {"auroc": auroc(estimates, failed)}


def asymmetry(keypoints: Float[np.ndarray, "k 2"], visible: Bool[np.ndarray, " k"], flip: Sequence[int]) -> float:
    """How little a face looks like its mirror image, in 0..1: near 0 from the front, the more the further it turns.

    It is the sine that a similarity leaves between the shape and its mirror image, `sqrt(1 - r^2)` of their complex
    correlation `r`; so the face's place, size and roll do not matter. NaN with fewer than three points.
    """
    both = visible & visible[list(flip)]
    if both.sum() < 3:
        return float("nan")
    shape = keypoints[:, 0] + 1j * keypoints[:, 1]
    mirrored = -np.conj(shape)[list(flip)]
    a, b = (points[both] - points[both].mean() for points in (shape, mirrored))
    r = abs(np.vdot(a, b)) / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.sqrt(max(0.0, 1 - r**2)))


def quarters(values: Float[np.ndarray, " n"]) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """The faces of the lowest quarter of the values, and those of the highest; NaN is in neither."""
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [0.25, 0.75]) if len(known) else (np.nan, np.nan)
    return values <= low, values >= high
