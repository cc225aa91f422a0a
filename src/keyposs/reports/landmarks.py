"""The section on single landmarks: each one's mean error on the mean face, and the worst by name."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from keyposs import plots
from keyposs.checks.shape import mean_shape
from keyposs.errors import KeyposError
from keyposs.markup import Markup
from keyposs.reports.comparison import Comparison, Setting
from keyposs.reports.document import Plot, Section, slug
from keyposs.reports.run import Run, points_of, read_lines
from keyposs.tables import Cell, Table

WORST = 5
"""Landmarks that are listed."""


def landmarks(comparison: Comparison, split: str) -> Section | None:
    """The errors of single landmarks, by the decoder of each run; None where a run has no keypoints.csv."""
    if any(not known(run, split) for run in comparison.runs):
        return None
    run, norm = comparison.runs[0], comparison.first["norm"]
    markup = Markup.from_dict(run.facts["markup"])
    mean = mean_shape(keypoints(run, split)).mean
    errors = {setting: of_setting(setting, split) for setting in comparison.settings}
    faces = f"{comparison.first['data']} {split}, % of {norm}"
    parts: list[Plot | Table] = []
    for label, settings in comparison.figures.items():
        panels = {f"{title}, {setting.runs[0].decoder}": errors[setting] for title, setting in settings.items()}
        figure = plots.landmarks_figure(panels, mean, markup, norm=norm)
        caption = f"{label}: mean" if label else "Mean"
        parts.append(Plot(slug(f"landmarks {label}"), figure, f"{caption} error of each landmark, {faces}."))
    return Section("Landmarks", [*parts, _worst(errors, markup, split, faces)])


def known(run: Run, split: str) -> bool:
    """Whether a run has left what this section needs."""
    return split in run.readings and "markup" in run.facts and (run.folder / "keypoints.csv").exists()


def of_setting(setting: Setting, split: str) -> Float[np.ndarray, " k"]:
    """Each landmark's mean error in percent of the norm, over faces and seeds; NaN where it is never annotated."""
    return np.stack([_errors(run, split) for run in setting.runs]).mean(0)


def _errors(run: Run, split: str) -> Float[np.ndarray, " k"]:
    read = run.readings[split]
    error = np.linalg.norm(read.points - keypoints(run, split), axis=-1) / read.norm[:, None]
    count = np.isfinite(error).sum(0)
    mean: np.ndarray = np.where(count > 0, 100 * np.nansum(error, axis=0) / np.maximum(count, 1), np.nan)
    return mean


def keypoints(run: Run, split: str) -> Float[np.ndarray, "n k 2"]:
    """The ground truth of a run's faces, in their order; NaN where it is not annotated.

    Raises:
        KeyposError: if the file has not the faces, or not the points, of the predictions.
    """
    path, read = run.folder / "keypoints.csv", run.readings[split]
    found = {
        face["name"]: points_of(path, cells)
        for face, cells in read_lines(path, "name", "split")
        if face["split"] == split
    }
    remedy = "evaluate the checkpoint again"
    if missing := set(read.names) - found.keys():
        raise KeyposError(path, f"lacks {min(missing)}, which predictions.csv has", remedy)
    points = np.stack([found[name] for name in read.names])
    if points.shape != read.points.shape:
        cause = f"has {points.shape[1]} points, but predictions.csv has {read.points.shape[1]}"
        raise KeyposError(path, cause, remedy)
    return points


def _worst(errors: Mapping[Setting, Float[np.ndarray, " k"]], markup: Markup, split: str, faces: str) -> Table:
    rows = []
    for setting, of_landmarks in errors.items():
        order = np.argsort(-np.nan_to_num(of_landmarks, nan=-1))[:WORST]
        rows += [
            [Cell(setting.title), Cell(setting.runs[0].decoder), Cell(markup.names[k]), Cell(float(of_landmarks[k]))]
            for k in order
        ]
    several = len(errors) > 1
    return Table(
        name=f"landmarks_{split}",
        title=f"The {min(WORST, markup.size)} landmarks of the largest mean error, {faces}",
        columns=["setting", "decoder", "landmark", "error %"][not several :],
        rows=[row[not several :] for row in rows],
        groups=2 if several else 1,
    )
