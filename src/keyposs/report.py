"""The report of a finished run, made from the files in its folder alone: `python -m keyposs.report RUN`."""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from keyposs import plots, viz
from keyposs.errors import KeyposError
from keyposs.files import write_text
from keyposs.tables import KINDS, MEASURES, Row, markdown_table, results_table

CAPTIONS = {
    "overlays": "Ground truth in green, predictions in red, errors in blue.",
    "distance_maps": (
        "The predicted distance map as cells over the crop; each anchor (blue) with the circle of its range "
        "(orange), the ground truth (green) and the point solved from the ranges (red)."
    ),
}
"""By the first words of a picture's file name."""


def write_report(run: Path) -> Path:
    """Writes `report.md` and its plots into a run folder, from the files that the run left there.

    Args:
        run: the folder; `results.json` must be there, whatever else is missing leaves its section out.

    Returns:
        The report's path.

    Raises:
        KeyposError: if a file of the run is missing or broken.
    """
    rows = read_results(run)
    facts = _read_json(run / "run.json") if (run / "run.json").exists() else {}
    splits = dict.fromkeys(row["split"] for row in rows)
    sections = [f"# {rows[0]['data']} at heatmap size {rows[0]['heatmap_size']}", _facts(rows, facts)]
    for split in splits:
        sections += [f"## Results on {split}", markdown_table([row for row in rows if row["split"] == split])]
    sections += _errors(run, rows) + _training(run, rows) + _pictures(run)
    write_text(run / "report.md", "\n\n".join(sections) + "\n")
    return run / "report.md"


def read_results(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's `results.json`.

    Raises:
        KeyposError: if the file is missing, broken or empty.
    """
    path = run / "results.json"
    if not run.is_dir():
        raise KeyposError(run, "is no folder", "give the folder of a run")
    if not path.exists():
        raise KeyposError(path, "is missing: the run has not finished", f"finish it with resume={run}")
    rows = _read_json(path)
    measures = [key for key, *_ in MEASURES]
    needed = {*KINDS, *measures, "split", "subset", "decoder", "norm", "threshold", "faces"}
    if not isinstance(rows, list) or not rows or any(not isinstance(row, dict) for row in rows):
        raise KeyposError(path, "holds no list of rows", f"remove it and finish the run with resume={run}")
    for i, row in enumerate(rows):
        if lacking := sorted(needed - row.keys()):
            raise KeyposError(path, f"row {i} lacks {', '.join(lacking)}", "evaluate the checkpoint again")
    return rows


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        remedy = f"remove it and finish the run with resume={path.parent}"
        raise KeyposError(path, f"is not JSON ({error})", remedy) from error


def _facts(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """A list of what is known of the run, a line each."""
    faces = dict.fromkeys(f"{row['faces']} {row['split']} {row['subset']}" for row in rows)
    known = {
        "data": rows[0]["data"],
        "faces": ", ".join(faces),
        "heatmap size": rows[0]["heatmap_size"],
        "method": f"{rows[0]['method']}, {rows[0]['encoding']}",
        "parameters": _scaled(facts.get("parameters"), 1e6, "M"),
        "MACs": _scaled(facts.get("macs"), 1e9, "G"),
        "latency": f"{facts['latency_ms']:.1f} ms a face" if "latency_ms" in facts else None,
        "epochs": facts.get("epochs"),
        "time": _clock(facts.get("seconds")),
        "hardware": facts.get("hardware"),
        "seed": rows[0]["seed"],
        "version": facts.get("version"),
        "commit": facts.get("commit"),
        "torch": facts.get("torch"),
        "checkpoint": facts.get("checkpoint"),
        "command": f"`{facts['command']}`" if "command" in facts else None,
    }
    return "\n".join(f"- {name}: {value}" for name, value in known.items() if value is not None)


def _scaled(value: float | int | None, unit: float, name: str) -> str | None:
    """Three significant digits, in millions or milliards."""
    return None if value is None else f"{value / unit:.3g} {name}"


def _clock(seconds: float | int | None) -> str | None:
    """Hours, minutes and seconds.

    >>> _clock(3723.4)
    '1:02:03'
    """
    return None if seconds is None else str(timedelta(seconds=int(seconds)))


def _errors(run: Path, rows: Sequence[Row]) -> list[str]:
    """The CED of the last split that was read: test, or val where there is no test."""
    path = run / "predictions.csv"
    if not path.exists():
        return []
    row = rows[-1]
    errors: dict[str, list[float]] = defaultdict(list)
    for face in _read_csv(path, "split", "decoder", "nme"):
        if face["split"] == row["split"]:
            errors[face["decoder"]].append(float(face["nme"]) / 100)
    arrays = {decoder: np.array(of_faces) for decoder, of_faces in errors.items()}
    title = f"{row['data']} {row['split']}, {len(next(iter(errors.values()), []))} faces"
    figure = plots.ced_figure(arrays, threshold=row["threshold"], norm=row["norm"], title=title)
    viz.save(run / "plots" / "ced.png", plots.draw(figure))
    return ["## Cumulative error", "![share of faces by error](plots/ced.png)"]


def _training(run: Path, rows: Sequence[Row]) -> list[str]:
    """Loss and errors per epoch, from Lightning's `metrics.csv`, whose rows are sparse."""
    path = run / "metrics.csv"
    if not path.exists():
        return []
    lines = _read_csv(path, "epoch")
    loss = _curve(lines, "train/loss") or _curve(lines, "train/loss_epoch")
    logged = lines[0] if lines else {}
    decoders = [decoder for decoder in dict.fromkeys(row["decoder"] for row in rows) if f"val/nme/{decoder}" in logged]
    errors = {decoder: _curve(lines, f"val/nme/{decoder}") for decoder in decoders}  # the order gives the colours
    figure = plots.training_figure(loss, errors, norm=rows[0]["norm"])
    viz.save(run / "plots" / "training.png", plots.draw(figure))
    return ["## Training", "![loss and error by epoch](plots/training.png)"]


def _curve(lines: Sequence[Mapping[str, str]], key: str) -> plots.Curve:
    """The mean of a logged value in each epoch, the first of which is 1."""
    values: dict[int, list[float]] = defaultdict(list)
    for line in lines:
        if line.get(key) and line.get("epoch"):  # a resumed run has "3.0" for "3"
            values[int(float(line["epoch"])) + 1].append(float(line[key]))
    return {epoch: float(np.mean(of_epoch)) for epoch, of_epoch in sorted(values.items())}


def _read_csv(path: Path, *needed: str) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if lacking := set(needed).difference(reader.fieldnames or ()):
            cause = f"has no column {', '.join(sorted(lacking))}"
            raise KeyposError(path, cause, f"remove it and finish the run with resume={path.parent}")
        return list(reader)


def _pictures(run: Path) -> list[str]:
    """Every picture of the run, with what is seen on it."""
    sections = []
    for path in sorted((run / "pictures").glob("*.png")):
        caption = next((words for start, words in CAPTIONS.items() if path.stem.startswith(start)), None)
        name = path.stem.replace("_", " ")
        sections += [f"## {name.capitalize()}", *filter(None, [caption]), f"![{name}](pictures/{path.name})"]
    return sections


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the report of a run and prints its table."""
    parser = argparse.ArgumentParser(prog="python -m keyposs.report", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    run = parser.parse_args(arguments).run
    try:
        report = write_report(run)
    except KeyposError as error:
        raise SystemExit(f"keyposs: {error}") from error
    console = Console()
    console.print(results_table(read_results(run)))
    console.print(f"Report: {report}", soft_wrap=True)


if __name__ == "__main__":
    main()
