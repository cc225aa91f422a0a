"""What early exit brings, as sentences, tables and a figure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from keyposs.plots import STYLES
from keyposs.reports.exits import Stages, alike, at, ran
from keyposs.reports.statistics import bootstrap, interval
from keyposs.tables import Cell, Table

Row = Mapping[str, Any]

EXPLAINED = (
    "A face stops after the first stage whose estimated error is below the threshold. Estimates are of the mean of "
    "|dx| + |dy| over a face's landmarks, a fraction of its norm. Thresholds are chosen on `val` alone."
)

GROUPS = (
    "Stages and MACs are means with early exit. `frontal` and `turned` are the quarters of the faces whose annotated "
    "landmarks are most and least like their mirror image; `easy` and `hard` those of the lowest and highest error "
    "after the first stage"
)


def chosen(found: Row) -> str:
    """What was chosen, and for what."""
    wanted, reached = (f"{found[key]:.2f}" for key in ("wanted_stages", "reached_stages"))
    flag = (
        f"There is no failure flag: of `val`'s faces {found['no_flag']}."
        if found["failure"] is None
        else f"A face whose last estimate is above {found['failure']:.6g} is reported as not found."
    )
    return (
        f"Checkpoint {found['checkpoint']}, {found['data']}: wanted on `val` a mean of {wanted} stages, reached "
        f"{reached}, with threshold {found['threshold']:.6g}. {flag}"
    )


def findings(stages: Stages, row: Row, macs: Sequence[int]) -> Iterator[str]:
    """What the later stages bring, and what stopping early costs, with 95 % bootstrap intervals of the mean face.

    Args:
        stages: of the faces.
        row: the outcome of the chosen threshold for these faces.
        macs: what the first stages cost together, for each number of them.
    """
    count, nme = len(macs), 100 * stages.nme
    stopped, by_lot = at(nme, ran(stages.estimates, row["threshold"])), np.array(row["stopped"]) @ nme
    yield (
        f"All {count} stages take the NME from {nme[0].mean():.2f} % after the first to {nme[-1].mean():.2f} %: "
        f"{change(nme[0], nme[-1])}."
    )
    yield (
        f"With early exit a face runs {row['stages']:.2f} of {count} stages in the mean and {row['macs'] / 1e6:.1f} of "
        f"{macs[-1] / 1e6:.1f} MMACs, {100 * row['macs'] / macs[-1]:.0f} %. Its NME is {row['nme']:.2f} %; from that "
        f"of all stages that is {change(nme[-1], stopped)}."
    )
    mixed = alike(nme, macs, row["macs"])
    yield (
        f"For the same MACs, without estimates (all faces run as many stages, some by lot one more), the NME would be "
        f"{mixed.mean():.2f} %; from that to early exit it is {change(mixed, stopped)}."
    )
    yield (
        f"Were as many faces stopped at each stage, but drawn by lot, the NME would be {row['nme_by_lot']:.2f} %; from "
        f"that to stopping by the estimate it is {change(by_lot, stopped)}."
    )


def change(before: Float[np.ndarray, " n"], after: Float[np.ndarray, " n"]) -> str:
    """The mean change of an NME with its interval, paired face by face, and what it says.

    >>> change(np.array([5.0, 6.0]), np.array([4.0, 5.0])), change(np.array([5.0, 6.0]), np.array([5.1, 5.9]))
    ('-1.00 [-1.00, -1.00] points', '0.00 [-0.10, +0.10] points, no change that these faces tell')
    """
    means = bootstrap(np.stack((before, after), axis=1))
    low, high = (round(x, 2) for x in interval(means[:, 1] - means[:, 0]))  # judged as printed
    verdict = "" if high < 0 else ", worse" if low > 0 else ", no change that these faces tell"
    off, low_text, high_text = (Cell(x, "+.2f").text for x in (float((after - before).mean()), low, high))
    return f"{off} [{low_text}, {high_text}] points{verdict}"


def flag_found(flag: Row, failure: float | None, limit: float) -> str:
    """What the failure flag tells."""
    told = f"{flag['failures']} of {flag['faces']} faces are failures (NME above {100 * limit:g} %)."
    if failure is not None:
        told += f" {flag['flagged']} faces are reported as not found, {flag['caught']} of the failures among them."
    if flag["auroc"] is None:
        return told
    share = f"{100 * flag['auroc']:.1f} %"
    return f"{told} Of a failure and another face, the failure's estimate is the higher in {share} of the pairs."


def stage_table(found: Row) -> Table:
    """Of each stage NME, cost, how well it knows its error, and who stops there."""
    columns = ["split", "stages", "MMACs", "NME", "Spearman", "AUROC", "stop, %"]
    rows = [
        [
            Cell(split),
            Cell(str(row["stage"])),
            Cell(row["macs"] / 1e6, ".1f"),
            Cell(row["nme"]),
            Cell(row["spearman"], ".3f"),
            Cell(row["auroc"], ".3f"),
            Cell(100 * row["stopped"], ".1f"),
        ]
        for split, of in found["splits"].items()
        for row in of["stages"]
    ]
    note = (
        f"NME in % of {found['norm']}, all faces running so many stages; Spearman: of estimate and error; AUROC: of "
        "the estimate as a sign of failure; stop: faces whose last stage it is with early exit"
    )
    return Table("stages", "Stages", columns, rows, groups=1, note=note)


def group_table(found: Row) -> Table:
    """Of each group of faces what they run, and their errors with all stages and with early exit."""
    columns = ["split", "faces", "number", "stages", "MMACs", "NME, all", "NME, early"]
    rows = [
        [
            Cell(split),
            Cell(row["group"]),
            Cell(row["faces"], "d"),
            Cell(row["stages"]),
            Cell(row["macs"] / 1e6, ".1f"),
            Cell(row["nme_all"]),
            Cell(row["nme"]),
        ]
        for split, of in found["splits"].items()
        for row in of["groups"]
    ]
    note = f"NME in % of {found['norm']}, with all stages and with early exit. {GROUPS}"
    return Table("groups", "Groups of faces", columns, rows, groups=1, note=note)


def curve_figure(found: Row) -> Figure:
    """NME against MACs, a panel for each subset: stopping by the estimate, by lot, and all faces alike."""
    panels = {(split, subset): rows for split, of in found["splits"].items() for subset, rows in of["curves"].items()}
    figure = Figure((4.6 * len(panels), 4.0), dpi=120, layout="constrained")
    by_estimate, by_lot, same = list(STYLES)[:3]
    costs = [macs / 1e6 for macs in found["macs"]]
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, ((split, subset), rows) in zip(axes, panels.items(), strict=True):
        macs = [row["macs"] / 1e6 for row in rows]
        ax.plot(macs, [row["nme"] for row in rows], label="by the estimate", **by_estimate)
        ax.plot(macs, [row["nme_by_lot"] for row in rows], label="as many, by lot", **{**by_lot, "linestyle": "--"})
        whole = found["splits"][split]["all_alike"][subset]
        ax.plot(costs, whole, "s:", color=same["color"], markersize=5, label="all faces alike")
        at_choice = [(row["macs"] / 1e6, row["nme"]) for row in rows if row["threshold"] == found["threshold"]]
        ax.plot(*zip(*at_choice, strict=True), "o", color="black", fillstyle="none", markersize=9, label="chosen")
        ax.set(xlabel="MMACs per face", ylabel=f"NME, % of {found['norm']}", title=f"{split} {subset}")
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize="small")
    return figure
