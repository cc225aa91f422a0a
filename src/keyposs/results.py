"""The files that a finished run leaves; every table and plot reads these and no log."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keyposs.files import atomic, readable, write_json
from keyposs.types import Annotation

FAILURE = "failure.txt"
"""Why a job of a sweep failed, in its folder; a finished run has none."""


def write(
    run: Path,
    rows: Sequence[Mapping[str, Any]],
    predictions: Sequence[Mapping[str, Any]],
    truth: Mapping[str, Sequence[Annotation]],
    facts: Mapping[str, Any],
) -> None:
    """Writes `predictions.csv`, `keypoints.csv`, `run.json` and `results.json` into a run directory, each atomically.

    `results.json` comes last: where it is, the run is finished.

    Args:
        run: the directory.
        rows: see DecoderMetrics.
        predictions: each face once per decoder; `nme` is a fraction (written in percent, like that of the rows),
            `points` are x0, y0, x1, ... in pixels of the photo.
        truth: the faces of each split, whose keypoints are written likewise; where one is not annotated, nothing.
        facts: see `environment`; with parameters, macs, latency and config.
    """
    found = map(_found, predictions)
    annotated = (_annotated(split, face) for split, faces in truth.items() for face in faces)
    _write_csv(run / "predictions.csv", ("name", "split", "subsets", "decoder", "norm", "nme"), found)
    _write_csv(run / "keypoints.csv", ("name", "split", "subsets", "norm"), annotated)
    write_json(run / "run.json", dict(facts))
    write_json(run / "results.json", list(rows))


def _found(row: Mapping[str, Any]) -> list[str]:
    measures = f"{row['norm']:.4f}", f"{100 * row['nme']:.4f}"
    return [row["name"], row["split"], row["subsets"], row["decoder"], *measures, *map("{:.3f}".format, row["points"])]


def _annotated(split: str, face: Annotation) -> list[str]:
    pairs = zip(face.keypoints.tolist(), face.visible.tolist(), strict=True)
    cells = [f"{value:.3f}" if visible else "" for point, visible in pairs for value in point]
    return [face.name, split, "|".join(face.subsets), f"{face.norm:.4f}", *cells]


def _write_csv(path: Path, names: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Lines of as many named columns, and then of points, x0, y0, x1, ..."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = [list(map(readable, line)) for line in lines]
        points = (len(table[0]) - len(names)) // 2 if table else 0
        axes = (f"{axis}{i}" for i in range(points) for axis in "xy")
        csv.writer(file).writerows([[*names, *axes], *table])
