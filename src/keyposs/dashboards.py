"""What wandb and TensorBoard get of a finished run, from the files in its folder: results, faces, the report."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import wandb
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from keyposs import gallery, viz
from keyposs.callbacks.metrics import MEASURES
from keyposs.loggers import harmless, show
from keyposs.reports.run import read_run

REPORT = ("report.*", "tables/*", "plots/*", "pictures/*", "results.json", "run.json")
"""The files of a run that make up the artifact of its report."""

Row = Mapping[str, Any]
"""A row of `results.json`."""

Errors = Mapping[str, Mapping[str, float]]
"""Per decoder, each face's NME in percent, by the face's name."""


def publish(loggers: Iterable[Logger], run: Path, step: int) -> None:
    """Gives the dashboards what a finished run has left in its folder.

    Args:
        loggers: of the run, still open.
        run: the folder.
        step: the optimiser's last, beside which results stand.
    """
    for logger in loggers:
        with harmless(type(logger).__name__):
            if isinstance(logger, WandbLogger):
                _to_wandb(logger, run, step)
            elif isinstance(logger, TensorBoardLogger):
                _to_tensorboard(logger, run, step)


def summary(rows: Iterable[Row]) -> dict[str, float]:
    """The results under the names that they are logged by.

    >>> summary([{"split": "test", "subset": "full", "decoder": "dark", "nme": 3.5, "fr": 1.0, "auc": 0.6}])
    {'test/full/nme/dark': 3.5, 'test/full/fr/dark': 1.0, 'test/full/auc/dark': 0.6}
    """
    return {
        f"{'val' if row['split'] == 'val' else 'test/' + row['subset']}/{measure}/{row['decoder']}": row[measure]
        for row in rows
        for measure in MEASURES
    }


def _to_tensorboard(logger: TensorBoardLogger, run: Path, step: int) -> None:
    """Settings beside the test's results, pictures and plots."""
    with harmless(type(logger).__name__, "settings and results"):
        facts, rows = _read(run / "run.json"), _read(run / "results.json")
        tested = summary(row for row in rows if row["split"] == "test")  # val has its curves
        logger.log_hyperparams(facts["config"], tested, step)
    for picture in sorted([*run.glob("pictures/*.png"), *run.glob("plots/*.png")]):
        show([logger], picture, step)
    logger.finalize("success")


def _to_wandb(logger: WandbLogger, run: Path, step: int) -> None:
    """Results as summary first; then pictures, charts, tables and the report, each of which costs only itself."""
    rows = _read(run / "results.json")
    logger.experiment.summary.update(summary(rows))
    for picture in sorted(run.glob("pictures/*.png")):
        show([logger], picture, step)
    for name, part in _charts_and_tables(run, rows).items():
        with harmless(type(logger).__name__, name):
            if (drawn := part()) is not None:
                logger.log_metrics({name: drawn}, step)
    with harmless(type(logger).__name__, "the report"):
        logger.experiment.log_artifact(_report(run, logger.experiment.id))


def _charts_and_tables(run: Path, rows: Sequence[Row]) -> dict[str, Callable[[], Any]]:
    """What makes each, by its name; the charts are of the largest subset of the last split, which is test."""
    largest = max((row for row in rows if row["split"] == rows[-1]["split"]), key=lambda row: row["faces"])
    shown = [row for row in rows if (row["split"], row["subset"]) == (largest["split"], largest["subset"])]
    errors = cache(partial(read_errors, run, largest["split"]))
    return {
        "charts/ced": lambda: _ced(errors(), largest),
        "charts/decoders": lambda: _bars(shown),
        "tables/results": lambda: wandb.Table(columns=[*rows[0]], data=[[*row.values()] for row in rows]),
        "tables/faces": lambda: _faces(run, errors(), largest["split"]),
    }


def read_errors(run: Path, split: str) -> Errors:
    """The faces' errors, from a run's `predictions.csv`."""
    read = read_run(run).readings[split]
    return {decoder: dict(zip(read.names, nme.tolist(), strict=True)) for decoder, nme in read.nme.items()}


def ced_lines(errors: Errors, limit: float) -> tuple[list[float], list[list[float]]]:
    """The cumulative error distributions at 101 errors from 0 to a limit: these, and the share of faces per decoder."""
    grid = np.linspace(0, limit, 101)
    ranked = [np.sort([*of_faces.values()]) for of_faces in errors.values()]  # NaN comes last
    return grid.tolist(), [(np.searchsorted(nmes, grid, side="right") / len(nmes)).tolist() for nmes in ranked]


def _ced(errors: Errors, row: Row) -> Any:
    grid, shares = ced_lines(errors, 100 * row["threshold"])
    title = f"Share of {row['split']} faces up to an error"
    return wandb.plot.line_series(grid, shares, list(errors), title=title, xname=f"NME, % of {row['norm']}")


def _bars(rows: Sequence[Row]) -> Any:
    table = wandb.Table(columns=["decoder", "nme"], data=[[row["decoder"], row["nme"]] for row in rows])
    title = f"NME, % of {rows[0]['norm']}, {rows[0]['split']} {rows[0]['subset']}"
    return wandb.plot.bar(table, "decoder", "nme", title=title)


def _faces(run: Path, errors: Errors, split: str) -> wandb.Table | None:
    """The worst and the median faces: a picture each, and the error of every decoder; None without pictures."""
    config = _read(run / "run.json")["config"]
    count = config["callbacks"].get("pictures", {}).get("faces", 0)
    if count == 0:
        return None
    table = wandb.Table(columns=["rank", "name", "picture", *errors])
    found = [{"name": name, "nme": nme} for name, nme in errors[config["monitor"]].items()]
    for rank, faces in gallery.ranked(found, count).items():
        sheet = np.asarray(Image.open(run / "pictures" / f"{rank}_{split}.png"))
        for face, tile in zip(faces, viz.tiles(sheet, len(faces), columns=gallery.COLUMNS), strict=True):
            picture = wandb.Image(tile, file_type="jpg")
            table.add_data(rank, face["name"], picture, *(of_faces[face["name"]] for of_faces in errors.values()))
    return table


def _report(run: Path, run_id: str) -> wandb.Artifact:
    artifact = wandb.Artifact(f"report-{run_id}", type="report")
    for file in (file for pattern in REPORT for file in sorted(run.glob(pattern))):
        artifact.add_file(str(file), file.relative_to(run).as_posix())
    return artifact


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
