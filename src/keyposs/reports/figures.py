"""The sections of errors as plots: cumulative, by heatmap size, by landmark, in training; and the runs' pictures."""

from collections.abc import Mapping, Sequence

import numpy as np

from keyposs import plots
from keyposs.reports.comparison import Comparison
from keyposs.reports.document import Picture, Plot, Section, slug
from keyposs.reports.evidence import Evidence
from keyposs.reports.run import Run, number, read_lines

CAPTIONS = {
    "worst": "The faces of the largest errors, the worst first: ground truth in green, predictions in red.",
    "median": "The faces around the median error: ground truth in green, predictions in red.",
    "overlays": "Ground truth in green, predictions in red, errors in blue.",
    "distance_maps": (
        "The predicted distance map as cells over the crop; each anchor (blue) with the circle of its range "
        "(orange), the ground truth (green) and the point solved from the ranges (red)."
    ),
    "patch_attention": (
        "The patches of each stage where they were cut, coloured by their mean attention; the stage's points in red, "
        "the ground truth in green."
    ),
}
"""By the first words of a picture's file name, in the order of the report."""


def cumulative(comparison: Comparison, split: str) -> Section | None:
    """The CED of every decoder."""
    subset, first = comparison.main(split), comparison.first
    parts = []
    for label, settings in comparison.figures.items():
        panels = {
            title: {decoder: percent / 100 for decoder, percent in errors.items()}
            for title, setting in settings.items()
            if (errors := setting.errors(split, subset))
        }
        if panels:
            figure = plots.ced_figure(panels, threshold=first["threshold"], norm=first["norm"])
            caption = _said(label, f"share of faces by error, {comparison.faces(split, subset)}")
            parts.append(Plot(slug(f"ced {label}"), figure, f"{caption}; FR in % and AUC at {first['threshold']}."))
    return Section("Cumulative error", parts) if parts else None


def _said(label: str, what: str) -> str:
    return f"{label}: {what}" if label else what[0].upper() + what[1:]


def trends(comparison: Comparison, split: str, evidence: Evidence) -> Section | None:
    """NME against heatmap size and against MACs, a panel for each label; None of one size.

    A network without maps has no place on the first axis; on the second it stands without a mark of its size.
    """
    if len(comparison.sizes) < 2:
        return None
    sizes = {i: float(s.size) for i, s in enumerate(comparison.settings) if s.size is not None}
    macs = {i: s.runs[0].facts["macs"] / 1e9 for i, s in enumerate(comparison.settings) if s.runs[0].facts.get("macs")}
    faces = comparison.faces(split, comparison.main(split))
    axes = {
        "size": ("heatmap size", sizes, {size: size for size in sizes.values()}),
        "macs": ("GMACs", macs, {macs[i]: sizes[i] for i in macs if i in sizes}),
    }
    parts = []
    for name, (against, of_setting, marks) in axes.items():
        if len(set(of_setting.values())) > 1:
            panels = _bands(comparison, split, evidence, of_setting)
            figure = plots.trend_figure(panels, norm=comparison.first["norm"], against=against, marks=marks)
            bands = "; bands are 95 % intervals over the faces" if evidence.known else ""
            parts.append(Plot(name, figure, f"NME by {against}, {faces}{bands}."))
    return Section("NME by heatmap size and by cost", parts) if parts else None


def _bands(
    comparison: Comparison, split: str, evidence: Evidence, x: Mapping[int, float]
) -> dict[str, dict[str, dict[float, tuple[float, float, float]]]]:
    """Label -> decoder -> NME and interval, by the x of each setting."""
    panels: dict[str, dict[str, dict[float, tuple[float, float, float]]]] = {}
    for i, setting in enumerate(comparison.settings):
        for decoder in comparison.decoders():
            nme = setting.value(split, comparison.main(split), decoder, "nme")
            if nme is not None and i in x:
                low, high = evidence.interval((i, decoder)) or (nme, nme)
                panels.setdefault(setting.label, {}).setdefault(decoder, {})[x[i]] = nme, low, high
    return panels


def training(runs: Sequence[Run]) -> Section | None:
    """Loss and errors of each run by epoch, from Lightning's `metrics.csv`, whose rows are sparse."""
    parts = []
    for i, run in enumerate(run for run in runs if (run.folder / "metrics.csv").exists()):
        decoders = dict.fromkeys(row["decoder"] for row in run.rows)  # the order gives the colours
        loss, *errors = curves(run, ["train/loss", *(f"val/nme/{decoder}" for decoder in decoders)])
        if not loss:  # logged by step and epoch under another name
            (loss,) = curves(run, ["train/loss_epoch"])
        logged = {decoder: curve for decoder, curve in zip(decoders, errors, strict=True) if curve}
        figure = plots.training_figure(loss, logged, norm=run.rows[0]["norm"])
        name = f"training_{i}" if len(runs) > 1 else "training"
        parts.append(Plot(name, figure, _said(run.name * (len(runs) > 1), "loss and error by epoch.")))
    return Section("Training", parts) if parts else None


def curves(run: Run, keys: Sequence[str]) -> list[plots.Curve]:
    """The mean of each logged value in each epoch, the first of which is 1; empty for what was not logged."""
    path = run.folder / "metrics.csv"
    values: list[dict[int, list[float]]] = [{} for _ in keys]
    for line, _ in read_lines(path, "epoch", also=keys):
        for key, of_key in zip(keys, values, strict=True):
            if line.get(key) and line["epoch"]:  # a resumed run has "3.0" for "3"
                of_key.setdefault(int(number(path, line["epoch"])) + 1, []).append(number(path, line[key]))
    return [{epoch: float(np.mean(found)) for epoch, found in sorted(of_key.items())} for of_key in values]


def pictures(comparison: Comparison) -> Section | None:
    """Every picture of one run; the worst and the median faces of several."""
    several = len(comparison.runs) > 1
    parts = [
        Picture(path, f"{run.name}: {words}" if several else words)
        for run in comparison.runs
        for start, caption in CAPTIONS.items()
        for path in sorted((run.folder / "pictures").glob(f"{start}_*.png"))
        if not several or path.stem in ("worst_test", "median_test")
        for words in [f"{path.stem.replace('_', ' ').capitalize()}. {caption}"]
    ]
    return Section("Faces", parts) if parts else None
